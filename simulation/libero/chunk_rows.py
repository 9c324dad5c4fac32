"""LIBERO's actions as rows of a chunk in SI units, and back.

An action is (7,) in [-1, 1]: how far the hand is pulled along and about three axes, and the fingers, which close above
0. A row is the Panda's vector (`robots.embodiments.panda`): metres, radians, and 0 for closing, 1 for opening fingers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robots.embodiments.panda import MAX_AIM_M, MAX_AIM_RAD, PANDA

SCALE = np.array([*(MAX_AIM_M,) * 3, *(MAX_AIM_RAD,) * 3])


def rows_of(actions: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Converts actions (..., 7) to rows (..., 7) within the Panda's bounds, at which LIBERO cuts an action as well."""
    numbers = np.asarray(actions, np.float64)
    rows = np.concatenate([numbers[..., :6] * SCALE, 0.5 * (1.0 - numbers[..., 6:])], axis=-1)
    low, high = _within(PANDA.chunks[0].low), _within(PANDA.chunks[0].high)
    return np.clip(rows.astype(np.float32), low, high)


def action_of(row: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Converts a row (7,) to an action (7,): the inverse of `rows_of`, but for rounding; 0 becomes exactly 0."""
    numbers = np.asarray(row, np.float64)
    return np.append(numbers[:6] / SCALE, 1.0 - 2.0 * numbers[6])


def _within(bounds: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Bounds as float32 that do not lie beyond them: 0.05 is rounded upwards otherwise."""
    single = np.array(bounds, np.float32)
    beyond = np.abs(single.astype(np.float64)) > np.abs(bounds)
    return np.where(beyond, np.nextafter(single, np.float32(0)), single)
