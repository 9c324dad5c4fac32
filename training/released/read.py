"""Reads a file that somebody else's torch wrote, without running any code from it."""

from __future__ import annotations

import argparse
import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.errors import CheckpointError
from training.released.parts import Shape
from training.released.releases import ALLENACT, LIGHTNING, RENAMED

KEYS = {"model_state_dict": (ALLENACT, ""), "state_dict": (LIGHTNING, "model.")}
"""Under which key a file keeps its parameters: the kind of file, and the prefix of their names."""

HARMLESS = [argparse.Namespace, np.dtype, type(np.dtype(np.int64)), type(np.dtype(np.float64))]
"""Plain values that trainers put beside the parameters, and that cannot run anything."""


@dataclass(frozen=True)
class Parameters:
    """What a file holds.

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
    return {name: tuple(one.shape) for name, one in tensors.items()}


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
    """What torch reads from a file of tensors and plain values.

    Raises:
        CheckpointError: there is no such file, it is damaged, or holds objects that are code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: got no such file, expected a checkpoint")
    try:
        with torch.serialization.safe_globals([*HARMLESS, *_scalars()]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises many kinds for a damaged file
        found = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
        got = f"an object of {found[1]}, which could run code" if found else type(error).__name__
        hint = "; save its parameters alone where it came from" if found else ""
        raise CheckpointError(
            f"{path}: got {got}, expected tensors and plain values that torch can read{hint}"
        ) from error


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a large file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scalars() -> list[Any]:
    """How numpy 1 and numpy 2 name what makes a number of theirs."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]  # private, and in every pickle of a numpy number
    return [scalar, (scalar, "numpy.core.multiarray.scalar")]


def _tensors(path: Path, state: object, prefix: str) -> dict[str, Tensor]:
    """The tensors of a state dict without the prefix, which all of them must have."""
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise CheckpointError(f"{path}: got {type(state).__name__}, expected the parameters of a network by name")
    without = sorted(name for name in state if not str(name).startswith(prefix))
    if without:
        raise CheckpointError(f"{path}: got parameters {', '.join(without)}, expected names that begin with '{prefix}'")
    return {_renamed(name[len(prefix) :]): one for name, one in state.items()}


def _renamed(name: str) -> str:
    old = next((one for one in RENAMED if name.startswith(one)), "")
    return RENAMED[old] + name[len(old) :] if old else name


def _number(payload: Mapping[str, Any], *names: str) -> int:
    """The first of the names that is a whole number."""
    return next((int(payload[name]) for name in names if isinstance(payload.get(name), int)), 0)
