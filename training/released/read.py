"""Safe reading of released checkpoint files, without running any code from them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from training.errors import CheckpointError
from training.released.differences import fold
from training.released.parts import Shape
from training.released.releases import ALLENACT, LIGHTNING, RENAMED
from training.runtime import torch_file

KEYS = {"model_state_dict": (ALLENACT, ""), "state_dict": (LIGHTNING, "model.")}
"""Kind of file -> key of its parameters and prefix of their names."""

HARMLESS = [argparse.Namespace, np.dtype, *(type(np.dtype(code)) for code in "?bBhHiIqQefd")]
"""Plain values that trainers store beside the parameters; they cannot run code."""


@dataclass(frozen=True)
class Parameters:
    """Content of a file.

    Attributes:
        path, sha256: of the file.
        container: the kind of file.
        tensors: by name, without the prefix.
        other: what else is in the file: the optimiser's state, for instance.
        steps, seed: as the trainer noted them, 0 where it did not.
    """

    path: Path
    sha256: str
    container: str
    tensors: Mapping[str, Tensor]
    other: tuple[str, ...] = ()
    steps: int = 0
    seed: int = 0

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of every tensor."""
        return shapes_of(self.tensors)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shape of every tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_checkpoint(path: Path) -> Parameters:
    """Reads a checkpoint of AllenAct or of Lightning.

    Raises:
        CheckpointError: there is no such file, it is damaged, holds code, or is of another kind.
    """
    payload = load_safely(path)
    for key, (container, prefix) in KEYS.items():
        if isinstance(payload, dict) and key in payload:
            tensors = _tensors(path, payload[key], prefix)
            other = tuple(sorted(str(name) for name in payload if name != key))
            steps = _number(payload, "total_steps", "train_steps", "global_step")
            seed = _number(payload, "trainer_seed")
            return Parameters(path, sha256_of_file(path), container, tensors, other, steps, seed)
    got = sorted(map(str, payload))[:8] if isinstance(payload, dict) else type(payload).__name__
    raise CheckpointError(
        f"{path}: got {got}, expected a checkpoint of AllenAct or Lightning: one of {', '.join(KEYS)}"
    )


def load_safely(path: Path) -> Any:
    """Reads a file of tensors and plain values.

    Raises:
        CheckpointError: there is no such file, it is damaged, or holds other objects.
    """
    return torch_file.read(path, "a checkpoint of tensors and plain values", [*HARMLESS, *_scalars()], mapped=True)


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a large file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scalars() -> list[Any]:
    """Names of the constructor of a NumPy scalar in numpy 1 and numpy 2."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]  # private, and in every pickle of a numpy number
    return [scalar, (scalar, "numpy.core.multiarray.scalar")]


def _tensors(path: Path, state: object, prefix: str) -> dict[str, Tensor]:
    """The tensors of a state dict without the prefix, which all of them must have."""
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: got {type(state).__name__}, expected the parameters of a network by name")
    torch_file.expect_numbers(state, f"{path}: the parameters of the network")
    names = [str(name) for name in state]
    whole = next((start for start in _wrapped(prefix) if all(name.startswith(start) for name in names)), None)
    if whole is None:
        without = [name for name in names if not name.startswith(prefix)]
        got = torch_file.shown(fold(sorted(without)))
        raise CheckpointError(f"{path}: got parameters {got}, expected names that begin with '{prefix}'")
    return {_renamed(str(name)[len(whole) :]): tensor for name, tensor in state.items()}


def _wrapped(prefix: str) -> tuple[str, ...]:
    """A prefix with that of torch's wrapper for several GPUs before or behind it, and as it is."""
    return f"module.{prefix}", f"{prefix}module.", prefix


def _renamed(name: str) -> str:
    old = next((start for start in RENAMED if name.startswith(start)), "")
    return RENAMED[old] + name[len(old) :] if old else name


def _number(payload: Mapping[str, Any], *names: str) -> int:
    """The first of the names that is a whole number."""
    return next((int(payload[name]) for name in names if isinstance(payload.get(name), int)), 0)
