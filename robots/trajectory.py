"""Motion between points: smooth, never above a joint's top speed, and at rest at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Row = Sequence[float] | F64
"""One number for each joint."""

LEAST_RAMP_S = 0.05
"""The shortest time that a stop is spread over."""

GAP_S = 0.02
"""Points of a window are at least so far apart."""


@dataclass(frozen=True)
class Trajectory:
    """Points (n, k) [m] or [rad] with velocities (n, k), due at times (n,) [s]; the first is where it starts, at 0."""

    times_s: F64
    positions: F64
    velocities: F64

    @property
    def duration_s(self) -> float:
        """When its last point is due."""
        return float(self.times_s[-1])

    def sample(self, elapsed_s: float) -> tuple[F64, F64]:
        """Positions and velocities (k,) at a time: a cubic between two points, the end after the last one."""
        if elapsed_s >= self.times_s[-1]:
            return self.positions[-1], np.zeros_like(self.positions[-1])
        index = max(0, int(np.searchsorted(self.times_s, elapsed_s, side="right")) - 1)
        length = float(self.times_s[index + 1] - self.times_s[index])
        s = (max(0.0, elapsed_s) - float(self.times_s[index])) / length
        ends = (self.positions[index], self.positions[index + 1])
        slopes = (self.velocities[index] * length, self.velocities[index + 1] * length)
        position = (
            (1 + 2 * s) * (1 - s) ** 2 * ends[0]
            + s * (1 - s) ** 2 * slopes[0]
            + s**2 * (3 - 2 * s) * ends[1]
            + s**2 * (s - 1) * slopes[1]
        )
        velocity = (
            6 * s * (1 - s) * (ends[1] - ends[0]) + (1 - s) * (1 - 3 * s) * slopes[0] + s * (3 * s - 2) * slopes[1]
        )
        return position, velocity / length

    def window(self, begin_s: float, length_s: float, lead_s: float, decelerations: Sequence[float]) -> Trajectory:
        """The part from `begin_s` on for `length_s`, then slowing down to rest on the same way; all the rest if near.

        Times count from `begin_s`. Up to `lead_s` it has no point, for a body that is a little behind to catch up.
        """
        end_s = begin_s + length_s
        speeds = np.abs(self.sample(end_s)[1]) / np.asarray(decelerations)
        ramp_s = max(LEAST_RAMP_S, float(speeds.max()))
        if end_s + ramp_s / 2 >= self.duration_s:
            end_s, ramp_s = self.duration_s, 0.0
        first_s = begin_s + lead_s if begin_s > 0 and begin_s + lead_s < end_s else begin_s
        inner = self.times_s[(self.times_s > first_s + GAP_S) & (self.times_s < end_s - GAP_S)]
        stops = sorted({begin_s, first_s, *inner.tolist(), end_s})
        points = [(at - begin_s, *self.sample(at)) for at in stops]
        for share in (1 / 3, 2 / 3, 1.0) if ramp_s else ():
            position, velocity = self.sample(end_s + ramp_s * (share - share**2 / 2))
            points.append((end_s - begin_s + share * ramp_s, position, velocity * (1 - share)))
        return Trajectory(*(np.array(column) for column in zip(*points)))

    def progress(self, here: F64, latest_s: float, lookback_s: float) -> float:
        """When, up to `lookback_s` before `latest_s`, the way is nearest to `here`; the latest such time."""
        times = np.linspace(latest_s, max(0.0, latest_s - lookback_s), 100)
        return float(times[np.argmin([np.abs(self.sample(at)[0] - here).max() for at in times])])

    def slower(self, factor: float) -> Trajectory:
        """The same way in `factor` times the time."""
        return Trajectory(self.times_s * factor, self.positions, self.velocities / factor)

    def peaks(self) -> F64:
        """The highest speed of each joint, (k,)."""
        lengths = np.diff(self.times_s)[:, None]
        chord, v0, v1 = np.diff(self.positions, axis=0) / lengths, self.velocities[:-1], self.velocities[1:]
        bend = 3 * (v0 + v1) - 6 * chord  # the velocity is a parabola a s^2 + b s + v0
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.clip(np.nan_to_num((2 * v0 + v1 - 3 * chord) / bend), 0.0, 1.0)
        inner = np.abs(6 * turn * (1 - turn) * chord + (1 - turn) * (1 - 3 * turn) * v0 + turn * (3 * turn - 2) * v1)
        return np.asarray(np.maximum.reduce([inner, np.abs(v0), np.abs(v1)]).max(axis=0))


def through(start: Row, rows: Sequence[Row], period_s: float, speeds: Sequence[float]) -> Trajectory:
    """From rest at `start` through `rows`, one every `period_s`, to rest at the last; slower where `speeds` ask for it.

    Slopes are the harmonic mean of the neighbouring ones (Fritsch and Butland 1984), so that no joint passes a row that
    it turns back at. A joint that starts and ends at rest must be faster in between; where that is above its top speed,
    the whole way takes longer.
    """
    points = np.vstack([np.asarray(start, dtype=np.float64), np.asarray(rows, dtype=np.float64)])
    slopes = np.diff(points, axis=0) / period_s
    velocities = np.zeros_like(points)
    before, after = slopes[:-1], slopes[1:]
    same_way = before * after > 0
    total = np.where(same_way, before + after, 1.0)
    velocities[1:-1] = np.where(same_way, 2 * before * after / total, 0.0)
    way = Trajectory(period_s * np.arange(len(points), dtype=np.float64), points, velocities)
    return way.slower(max(1.0, float((way.peaks() / np.asarray(speeds)).max())))


def reach(start: Row, target: Row, speeds: Sequence[float], least_s: float = 0.0) -> Trajectory:
    """From rest at `start` to rest at `target`, as fast as `speeds` allow and in no less than `least_s`."""
    return through(start, [target], max(least_s, LEAST_RAMP_S), speeds)


def halt(positions: Row, velocities: Row, decelerations: Sequence[float]) -> Trajectory:
    """From a moving state to rest: every joint slows down evenly, the last one within its deceleration."""
    here, speed = np.asarray(positions, dtype=np.float64), np.asarray(velocities, dtype=np.float64)
    ramp_s = max(LEAST_RAMP_S, float((np.abs(speed) / np.asarray(decelerations)).max()))
    points = np.vstack([here, here + speed * ramp_s / 2])
    return Trajectory(np.array([0.0, ramp_s]), points, np.vstack([speed, np.zeros_like(speed)]))
