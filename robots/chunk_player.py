"""A path through rows of positions: straight from row to row in time, with rounded corners.

The straight line is averaged over `blend_s`, so that the speed changes gradually and is never above that of the rows,
and the path begins and ends at rest. With a blend of one period this is the quadratic B-spline of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robots.embodiment import JointLimits

F64 = npt.NDArray[np.float64]

BLEND_S = 0.1
"""Corners of a chunk are rounded over this long, or one period where that is shorter."""


@dataclass(frozen=True)
class Path:
    """Where the joints are to be, at any time from now.

    Attributes:
        rows: (m + 1, n) positions: the start, then one row a period [rad] or [m].
        period_s: time from row to row.
        blend_s: how long the corners are rounded over; above 0.
    """

    rows: F64
    period_s: float
    blend_s: float

    @property
    def duration_s(self) -> float:
        """When the last row is reached; half a blend late."""
        return (len(self.rows) - 1) * self.period_s + self.blend_s

    @property
    def end(self) -> F64:
        """The last row, (n,)."""
        return np.asarray(self.rows[-1])

    def at(self, elapsed_s: float) -> F64:
        """Positions (n,) so long after the start; the start before it and the last row after the end."""
        return np.asarray((self._area(elapsed_s) - self._area(elapsed_s - self.blend_s)) / self.blend_s)

    def _area(self, time_s: float) -> F64:
        """Integral of the straight line from row to row, from 0 to `time_s`; (n,)."""
        if time_s <= 0.0:
            return np.asarray(time_s * self.rows[0])
        full = min(int(time_s / self.period_s), len(self.rows) - 1)
        rest = time_s - full * self.period_s
        here = self.rows[full]
        slope = (self.rows[min(full + 1, len(self.rows) - 1)] - here) / self.period_s
        before = self.rows[: full + 1]
        area = self.period_s * (before.sum(axis=0) - 0.5 * (before[0] + before[-1]))
        return np.asarray(area + rest * here + 0.5 * rest * rest * slope)


def through(start: Sequence[float] | F64, rows: Sequence[Sequence[float]] | F64, period_s: float) -> Path:
    """The path of a chunk: from `start` (n,) through `rows` (m, n), the first one a period from now."""
    points = np.vstack([np.asarray(start, dtype=np.float64), np.asarray(rows, dtype=np.float64)])
    return Path(points, period_s, min(BLEND_S, period_s))


def towards(
    start: Mapping[str, float],
    targets: Mapping[str, float],
    limits: Mapping[str, JointLimits],
    acceleration: float,
    least_s: float = 0.0,
) -> Path:
    """The path of all joints from `start` that brings those of `targets` there together, at their speed limits.

    Args:
        start: joint name -> position; the path's columns have its order.
        targets: joint name -> position; the other joints stay.
        limits: joint name -> limits; nothing is faster than their `max_speed`.
        acceleration: of the joint that has furthest to go, both ways [rad/s^2]; the profile is a trapezoid.
        least_s: take about this long where that is longer.
    """
    end = {**start, **targets}
    ways = [(abs(end[name] - here), limits[name].max_speed) for name, here in start.items()]
    furthest = max(way for way, _ in ways)
    need_s = max(1e-3, math.sqrt(furthest / acceleration), *(way / speed for way, speed in ways))
    travel_s = max(need_s, least_s - furthest / need_s / acceleration)
    blend_s = max(1e-3, furthest / travel_s / acceleration)
    return Path(np.array([list(start.values()), list(end.values())], dtype=np.float64), travel_s, blend_s)
