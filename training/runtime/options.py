"""Options that every training has: where a run is kept, how it goes on, and what it runs on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class RunOptions:
    """A run in a folder of its own, which can be interrupted and resumed at any time."""

    run: Path = Path("runs/mini")
    """Folder of the run."""
    name: str = ""
    """Folder in the run for checkpoints (last.pt) and TensorBoard files."""
    resume: bool = False
    """Continue from last.pt, as if the run had not been interrupted."""
    seed: int = 0
    device: str = "auto"
    """Device of the updates: cpu, cuda, or auto for cuda where there is one. Simulators run on the CPU."""
    threads: int = 2
    """Torch threads of the updates. 1 where other programs keep the cores busy."""
    save_every_s: float = 120.0
    """Seconds between checkpoints."""

    free: ClassVar[frozenset[str]] = frozenset({"run", "name", "resume", "device", "threads", "save_every_s"})
    """Options that a resumed run may change: they have no part in what it learns."""

    @property
    def folder(self) -> Path:
        """Folder of the checkpoints."""
        return self.run / self.name

    @property
    def last(self) -> Path:
        """Checkpoint that a resumed run continues from."""
        return self.folder / "last.pt"

    def comparable(self) -> dict[str, Any]:
        """Returns the options that a resumed run must have in common with the first, as plain values."""
        return {name: plain(value) for name, value in asdict(self).items() if name not in self.free}


@dataclass(frozen=True)
class WorkerOptions:
    """Simulators in worker processes."""

    workers: int = 2
    """Simulator processes (of each rank)."""
    stall_s: float = 300.0
    """A simulator process that reports nothing for so long counts as hung and is replaced."""


def plain(value: Any) -> Any:
    """Converts nested options to dicts, lists, numbers and text."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
