"""Action tokens: each number of an action becomes one of 256 bins, as in OpenVLA (Kim et al. 2024, arXiv:2406.09246).

An action is first scaled to [-1, 1] by the 1 % and 99 % quantiles of the demonstrations (OpenVLA's BOUNDS_Q99). The
256 edges of the bins are `linspace(-1, 1, 256)`, so there are 255 intervals with a centre, as in OpenVLA: token 255 is
the upper bound alone and decodes as token 254. An odd number of intervals has one whose centre is exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import ConfigError, DataError

BINS = 256
QUANTILES = (0.01, 0.99)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Statistics:
    """Range of each dimension in the demonstrations.

    Attributes:
        low, high: 1 % and 99 % quantile of each dimension, in its unit.
        scaled: False for a dimension that is in [-1, 1] as it is and left so, as OpenVLA does with LIBERO's gripper.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    scaled: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.scaled) > 0:
            raise ConfigError("statistics", (len(self.low), len(self.high), len(self.scaled)), "three equal lengths")
        if not (np.isfinite([self.low, self.high]).all() and np.less_equal(self.low, self.high).all()):
            raise ConfigError("statistics", (self.low, self.high), "finite numbers, low at most high")

    @classmethod
    def of(cls, values: npt.ArrayLike, scaled: Sequence[bool] | None = None) -> Statistics:
        """Computes them from values (N, D); every dimension is scaled by default.

        Raises:
            DataError: there is no value, or one is not finite.
        """
        array = np.asarray(values, np.float64)
        if array.ndim != 2 or not len(array) or not np.isfinite(array).all():
            raise DataError(f"values for statistics: got {array.shape}, NaN or infinity, expected finite rows (N, D)")
        low, high = np.quantile(array, QUANTILES, axis=0)
        return cls(tuple(low.tolist()), tuple(high.tolist()), tuple(scaled or [True] * array.shape[1]))

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """(D,): marks the dimensions in which the demonstrations do nothing, up to outliers."""
        still: npt.NDArray[np.bool_] = np.array(self.scaled) & np.equal(self.low, self.high)
        return still

    def normalise(self, values: npt.ArrayLike) -> Floats:
        """Scales (..., D) to [-1, 1], clipped; a constant dimension becomes 0."""
        low, high, scaled = self._arrays()
        span = np.where(high > low, high - low, 1.0)
        unit = np.where(self.constant, 0.0, 2.0 * (np.asarray(values, np.float64) - low) / span - 1.0)
        return np.clip(np.where(scaled, unit, values), -1.0, 1.0).astype(np.float32)

    def unnormalise(self, unit: npt.ArrayLike) -> Floats:
        """Inverse of `normalise` within the range; a constant dimension becomes its one value, exactly."""
        low, high, scaled = self._arrays()
        numbers = np.asarray(unit, np.float64)
        values = np.where(self.constant, low, 0.5 * (numbers + 1.0) * (high - low) + low)
        return np.where(scaled, values, numbers).astype(np.float32)

    def to_json(self) -> dict[str, list[Any]]:
        """Returns plain JSON values."""
        return {"low": list(self.low), "high": list(self.high), "scaled": list(self.scaled)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """Inverse of `to_json`; ConfigError for missing or unknown fields."""
        try:
            return cls(**{name: tuple(values) for name, values in data.items()})
        except TypeError as error:
            raise ConfigError("statistics", sorted(data), "low, high, scaled") from error

    def _arrays(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        return np.array(self.low), np.array(self.high), np.array(self.scaled)


class ActionTokenizer:
    """Actions (..., D) in their units <-> tokens (..., D) in 0..bins-1.

    Args:
        statistics: range of each dimension.
        bins: number of tokens.
        gripper_opens: whether tokens stand for 1 (open) and 0 (closed) in the last dimension, where actions have
            LIBERO's -1 and 1.
    """

    def __init__(self, statistics: Statistics, bins: int = BINS, gripper_opens: bool = False) -> None:
        if not 3 <= bins <= BINS:
            raise ConfigError("bins", bins, f"3 to {BINS}")
        self.statistics, self.bins, self.gripper_opens = statistics, bins, gripper_opens
        self.edges = np.linspace(-1.0, 1.0, bins)
        self.centres = (2.0 * np.arange(bins - 1) + 2.0 - bins) / (bins - 1)

    def encode(self, actions: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Encodes actions; what is outside of the range counts as its bound.

        Raises:
            DataError: an action is not finite, or has another number of dimensions.
        """
        array = np.asarray(actions, np.float64)
        dimensions = len(self.statistics.low)
        if array.shape[-1:] != (dimensions,) or not np.isfinite(array).all():
            raise DataError(f"actions: got shape {array.shape}, NaN or infinity, expected finite (..., {dimensions})")
        if self.gripper_opens:
            array = np.concatenate([array[..., :-1], 0.5 * (1.0 - array[..., -1:])], axis=-1)
        return (np.digitize(self.statistics.normalise(array), self.edges) - 1).astype(np.uint8)

    def decode(self, tokens: npt.ArrayLike) -> Floats:
        """Decodes tokens to the centre of their interval: at most half of one, (high - low) / 510, from what it was."""
        indices = np.minimum(np.asarray(tokens, np.int64), self.bins - 2)
        actions = self.statistics.unnormalise(self.centres[indices])
        if self.gripper_opens:  # open or closed, nothing between, as OpenVLA's evaluation does
            actions[..., -1] = np.where(actions[..., -1] > 0.5, -1.0, 1.0)
        return actions
