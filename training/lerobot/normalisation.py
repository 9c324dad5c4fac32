"""Normalisation by the statistics of a dataset, as LeRobot computes it: by feature, each with its own mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from training.errors import CheckpointError
from training.lerobot.config import Mode

Statistics = Mapping[str, Tensor]
ENDS: Mapping[Mode, tuple[str, str]] = {
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}
"""Statistics that become -1 and 1."""


class Normalisation(nn.Module):
    """(number - offset) / divisor + shift, and (number - shift) * scale + offset back.

    The shift stays apart, because the divisor of an entry that never moved in the dataset is next to nothing: there
    its smallest number becomes -1 exactly.
    """

    def __init__(self, offset: Tensor, divisor: Tensor, scale: Tensor, shift: float) -> None:
        super().__init__()
        for name, value in (("offset", offset), ("divisor", divisor), ("scale", scale)):
            self.register_buffer(name, value.clone())
        self.shift = shift

    @classmethod
    def of(
        cls, key: str, mode: Mode, statistics: Statistics, shape: tuple[int, ...], eps: float, adds: bool
    ) -> Normalisation:
        """Makes that of a feature.

        Args:
            key: name of the feature.
            mode: of normalisation.
            statistics: of the feature, by name.
            shape: that they must have.
            eps: a small number, against division by zero.
            adds: whether `eps` is added to every range, as before 0.4, or stands for those of zero.

        Raises:
            CheckpointError: a statistic is missing, of another shape, or contradictory.
        """
        if mode == "IDENTITY":
            zero, one = torch.zeros(shape), torch.ones(shape)
            return cls(zero, one, one, 0.0)
        names = ("mean", "std") if mode == "MEAN_STD" else ENDS[mode]
        for name in names:
            if name not in statistics:
                got = ", ".join(sorted(statistics)) or "none"
                raise CheckpointError(f"statistics of '{key}' for {mode}: got {got}, expected {' and '.join(names)}")
            if statistics[name].numel() != torch.zeros(shape).numel():
                got = str(tuple(statistics[name].shape))
                raise CheckpointError(f"statistic '{name}' of '{key}': got shape {got}, expected {shape}")
        first, second = (statistics[name].float().reshape(shape) for name in names)
        if mode == "MEAN_STD":
            if bool((second < 0).any()):
                raise CheckpointError(f"statistic 'std' of '{key}': got a number below 0, expected none")
            return cls(first, second + eps, second, 0.0)
        if bool((second < first).any()):
            raise CheckpointError(f"statistics of '{key}': got {names[1]} below {names[0]}, expected it above")
        span = second - first
        safe = span + eps if adds else torch.where(span == 0, torch.tensor(eps), span)
        return cls(first, safe / 2, (span if adds else safe) / 2, -1.0)

    def forward(self, values: Tensor) -> Tensor:
        """Normalises (..., n), or images (..., 3, H, W)."""
        return (values - self._buffer("offset")) / self._buffer("divisor") + self.shift

    def back(self, values: Tensor) -> Tensor:
        """Inverse of `forward`."""
        return (values - self.shift) * self._buffer("scale") + self._buffer("offset")

    def _buffer(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))
