"""Weights on their way to another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Weights = dict[str, npt.NDArray[Any]]
"""State dict for another process, as NumPy arrays: torch would send its tensors through shared files."""


def arrays(weights: Mapping[str, Tensor]) -> Weights:
    """Copies a state dict into NumPy arrays."""
    return {name: value.detach().numpy().copy() for name, value in weights.items()}


def tensors(weights: Weights) -> dict[str, Tensor]:
    """Inverse of `arrays`."""
    return {name: torch.from_numpy(value) for name, value in weights.items()}
