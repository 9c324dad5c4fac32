"""Weights on their way to another process, and into a module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.errors import CheckpointError
from training.runtime import torch_file

Weights = dict[str, npt.NDArray[Any]]
"""State dict for another process, as NumPy arrays: torch would send its tensors through shared files."""


def arrays(weights: Mapping[str, Tensor]) -> Weights:
    """Copies a state dict into NumPy arrays."""
    return {name: value.detach().numpy().copy() for name, value in weights.items()}


def tensors(weights: Weights) -> dict[str, Tensor]:
    """Inverse of `arrays`."""
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Puts parameters into a module; each of both sides must have its partner.

    Raises:
        CheckpointError: names those that are missing, unknown or of another shape; it begins with `source`.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in tensors.items()}
    for what, names in (("missing", wanted.keys() - got.keys()), ("unknown", got.keys() - wanted.keys())):
        if names:
            raise CheckpointError(f"{source}: {what} parameters: {torch_file.shown(sorted(names))}")
    other = sorted(name for name in wanted if wanted[name] != got[name])
    if other:
        first = f"{other[0]}: got {got[other[0]]}, expected {wanted[other[0]]}"
        raise CheckpointError(f"{source}: parameters of other shapes: {first}; {torch_file.shown(other)}")
    module.load_state_dict(dict(tensors))
