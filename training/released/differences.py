"""Differences between a file's parameters and the expected ones: missing, unknown and misshapen ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training.errors import CheckpointError
from training.released.parts import Place, Shape
from training.released.releases import UNREADABLE
from training.runtime.torch_file import shown

SHOWN = 24
"""Names listed in a message (those of all layers count as one); a network has hundreds."""


@dataclass(frozen=True)
class LeftOut:
    """Parameters of a file that are not needed."""

    prefix: str
    why: str
    count: int

    def __str__(self) -> str:
        return f"{self.prefix}* ({self.count}): {self.why}"


def account(
    shapes: Mapping[str, Shape], table: Mapping[str, Place], left_out: Mapping[str, str], what: str
) -> tuple[LeftOut, ...]:
    """Returns the parameters of `shapes` that are left out, when all others match `table`.

    Raises:
        CheckpointError: it is not; the message lists the differences.
    """
    unneeded = {prefix: [name for name in shapes if name.startswith(prefix)] for prefix in left_out}
    skipped = {name for names in unneeded.values() for name in names}
    needed = {name: shape for name, shape in shapes.items() if name not in skipped}
    lines = [*_missing(needed, table), *_unknown(needed, table), *_reshaped(needed, table)]
    if lines:
        raise CheckpointError(f"got parameters that are not those of {what}: {'; '.join(lines)}")
    return tuple(LeftOut(prefix, left_out[prefix], len(names)) for prefix, names in unneeded.items() if names)


def _missing(shapes: Mapping[str, Shape], table: Mapping[str, Place]) -> list[str]:
    return _group("missing", [name for name in table if name not in shapes])


def _unknown(shapes: Mapping[str, Shape], table: Mapping[str, Place]) -> list[str]:
    names = [name for name in shapes if name not in table]
    why = sorted({UNREADABLE[prefix] for prefix in UNREADABLE for name in names if name.startswith(prefix)})
    return [line + "".join(f", which means {one}" for one in why) for line in _group("not known", names)]


def _reshaped(shapes: Mapping[str, Shape], table: Mapping[str, Place]) -> list[str]:
    wrong = [name for name, place in table.items() if name in shapes and shapes[name] != place.shape]
    return _group("of another shape", [f"{name} got {shapes[name]} expected {table[name].shape}" for name in wrong])


def _group(title: str, names: list[str]) -> list[str]:
    return [f"{title} ({len(names)}): {shown(fold(names), SHOWN)}"] if names else []


def fold(names: Iterable[str]) -> list[str]:
    """One line for names that differ in the number of their layer alone: `layers.{0,1}.norm.weight`."""
    folded: dict[tuple[str, str], list[str]] = {}
    for name in names:
        parts = re.match(r"(.*?\.)(\d+)(\..*)", name)
        before, number, after = parts.groups() if parts else (name, "", "")
        folded.setdefault((before, after), []).append(number)
    return [
        f"{before}{numbers[0] if len(numbers) == 1 else '{' + ','.join(numbers) + '}'}{after}"
        for (before, after), numbers in folded.items()
    ]
