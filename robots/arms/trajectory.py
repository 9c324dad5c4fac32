"""Motion between points: smooth, never above a joint's top speed, and at rest at both ends.

A trajectory is what a JointTrajectoryController follows, and what is streamed to an arm that takes positions alone: a
cubic between points with velocities. `through` and `towards` make it of straight stretches with rounded corners, so
that between the points it stays on the path of the rows, and never overshoots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Row = Sequence[float] | F64
"""One number for each joint."""

BLEND_S = 0.1
"""Corners of a chunk are rounded over this long, or one period where that is shorter."""

MIN_RAMP_S = 0.05
"""Shortest duration of a stop ramp."""

GAP_S = 0.02
"""Shortest time between two points of a window."""

RAMP_POINT_S = 0.05
"""A ramp along a trajectory has a point this often, so that it does not cut its corners."""

MIN_S = 1e-3


@dataclass(frozen=True)
class Trajectory:
    """Points (n, k) [m] or [rad] with velocities (n, k), due at times (n,) [s]; the first is where it starts, at 0."""

    times_s: F64
    positions: F64
    velocities: F64

    @property
    def duration_s(self) -> float:
        """Time of its last point."""
        return float(self.times_s[-1])

    @property
    def end(self) -> F64:
        """The last point's positions, (k,)."""
        return np.asarray(self.positions[-1])

    def at(self, elapsed_s: float) -> F64:
        """Positions (k,) at a time; the first before the start, the last after the end."""
        return self.sample(elapsed_s)[0]

    def sample(self, elapsed_s: float) -> tuple[F64, F64]:
        """Positions and velocities (k,) at a time; the first before the start, at rest after the end."""
        if elapsed_s >= self.duration_s:
            return self.positions[-1], np.zeros_like(self.positions[-1])
        positions, velocities = self.samples(np.array([max(0.0, elapsed_s)]))
        return np.asarray(positions[0]), np.asarray(velocities[0])

    def samples(self, times_s: F64) -> tuple[F64, F64]:
        """Positions and velocities (m, k) at times (m,) from 0 to the end: a cubic between two points."""
        index = np.clip(np.searchsorted(self.times_s, times_s, side="right") - 1, 0, len(self.times_s) - 2)
        length = np.diff(self.times_s)[index][:, None]
        s = (times_s[:, None] - self.times_s[index][:, None]) / length
        before, after = self.positions[index], self.positions[index + 1]
        v0, v1 = self.velocities[index] * length, self.velocities[index + 1] * length
        positions = (
            (1 + 2 * s) * (1 - s) ** 2 * before
            + s * (1 - s) ** 2 * v0
            + s**2 * (3 - 2 * s) * after
            + s**2 * (s - 1) * v1
        )
        velocities = 6 * s * (1 - s) * (after - before) + (1 - s) * (1 - 3 * s) * v0 + s * (3 * s - 2) * v1
        return positions, velocities / length

    def held(self, times_s: F64) -> tuple[F64, F64]:
        """Positions and velocities (m, k) at any times (m,): at rest before the start and after the end."""
        positions, velocities = self.samples(np.clip(times_s, 0.0, self.duration_s))
        outside = (times_s < 0.0) | (times_s >= self.duration_s)
        return positions, np.where(outside[:, None], 0.0, velocities)

    def acceleration(self, at_s: float) -> F64:
        """Accelerations (k,) at a time, right behind it where it changes; 0 before the start and after the end."""
        if not 0.0 <= at_s < self.duration_s:
            return np.zeros(self.positions.shape[1])
        index = min(int(np.searchsorted(self.times_s, at_s, side="right")) - 1, len(self.times_s) - 2)
        length = float(self.times_s[index + 1] - self.times_s[index])
        s = (at_s - float(self.times_s[index])) / length
        chord = (self.positions[index + 1] - self.positions[index]) / length
        begin, end = self.velocities[index], self.velocities[index + 1]
        return np.asarray(((6 - 12 * s) * chord + (6 * s - 4) * begin + (6 * s - 2) * end) / length)

    def since(self, begin_s: float) -> Trajectory:
        """The rest of it from `begin_s` on, as fast as it is there; times count from there."""
        later = self.times_s[self.times_s > begin_s + MIN_S]
        positions, velocities = self.samples(np.append(begin_s, later))
        return Trajectory(np.append(0.0, later - begin_s), positions, velocities)

    def dense(self, longest: float) -> F64:
        """Positions (m, k) from start to end, so near that between two the joints' ways add up to `longest` at most."""
        lengths, chords = np.diff(self.times_s)[:, None], np.abs(np.diff(self.positions, axis=0))
        fastest = np.maximum(np.abs(self.velocities[:-1]), np.abs(self.velocities[1:]))
        ways = np.maximum(1.5 * chords, fastest * lengths).sum(axis=1)
        counts = np.maximum(1, np.ceil(ways / longest)).astype(int)
        stops = [
            np.linspace(begin, end, count, endpoint=False)
            for begin, end, count in zip(self.times_s[:-1], self.times_s[1:], counts)
        ]
        return self.samples(np.concatenate([*stops, self.times_s[-1:]]))[0]

    def columns(self, chosen: Sequence[int]) -> Trajectory:
        """That of some of the joints."""
        return Trajectory(self.times_s, self.positions[:, chosen], self.velocities[:, chosen])

    def clipped(self, low: Row, high: Row, speeds: Row) -> Trajectory:
        """Clipped to these ranges, and slowed as a whole where it is faster than these speeds."""
        limits = np.asarray(speeds)
        positions, velocities = np.clip(self.positions, low, high), np.clip(self.velocities, -limits, limits)
        inside = Trajectory(self.times_s, positions, velocities)
        return inside.slower(max(1.0, float((inside.peaks() / limits).max())))

    def window(self, begin_s: float, length_s: float, lead_s: float, decelerations: Sequence[float]) -> Trajectory:
        """Part from `begin_s` on for `length_s`, then a ramp to rest on the same path; all the rest if its end is near.

        Times count from `begin_s`. Up to `lead_s` it has no point, for a robot that is a little behind to catch up.
        """
        end_s = begin_s + length_s
        ramp = self._ramp(end_s, 1.0, decelerations)
        if not ramp or end_s + ramp[-1][0] / 2 >= self.duration_s:
            end_s, ramp = self.duration_s, []
        first_s = begin_s + lead_s if begin_s > 0 and begin_s + lead_s < end_s else begin_s
        inner = self.times_s[(self.times_s > first_s + GAP_S) & (self.times_s < end_s - GAP_S)]
        stops = sorted({begin_s, first_s, *inner.tolist(), end_s})
        points = [(at - begin_s, *self.sample(at)) for at in stops]
        points += [(end_s - begin_s + after_s, place, speed) for after_s, place, speed in ramp]
        return _of(points)

    def cut(self, begin_s: float, lead_s: float) -> float:
        """Largest distance of a cubic over `lead_s` from `begin_s` on to this trajectory [m] or [rad]."""
        ends = np.minimum([begin_s, begin_s + lead_s], self.duration_s)
        between = np.linspace(ends[0], ends[1], 7)[1:-1]
        cubic = Trajectory(ends - ends[0], *self.samples(ends)).samples(between - ends[0])[0]
        return float(np.abs(cubic - self.samples(between)[0]).max())

    def stop(self, current: Row, speed: Row, at_s: float, decelerations: Sequence[float]) -> Trajectory:
        """Ramp from `current`, moving with `speed`, to rest on this path; `at_s` is the time reached on it.

        It ends on the path, and not beyond its end.
        """
        planned = self.sample(at_s)[1]
        square = float(planned @ planned)
        rate = min(1.0, max(0.0, float(np.asarray(speed) @ planned) / square)) if square > 0.0 else 0.0
        ramp = self._ramp(at_s, rate, decelerations)
        off, long_s = np.asarray(current, dtype=np.float64) - self.at(at_s), ramp[-1][0]
        back = [(due_s, place + off * (1 - due_s / long_s), velocity) for due_s, place, velocity in ramp]
        return _of([(0.0, self.at(at_s) + off, rate * planned), *back])

    def _ramp(self, at_s: float, rate: float, decelerations: Sequence[float]) -> list[tuple[float, F64, F64]]:
        """Points (time from `at_s`, positions, velocities) that slow down evenly from `rate` of its speed to rest."""
        speeds = rate * np.abs(self.sample(at_s)[1]) / np.asarray(decelerations)
        ramp_s, left_s = max(MIN_RAMP_S, float(speeds.max())), max(0.0, self.duration_s - at_s)
        if rate * ramp_s / 2 > left_s:  # the trajectory ends earlier
            ramp_s = max(MIN_RAMP_S, 2 * left_s / rate)
            rate = 2 * left_s / ramp_s
        count = max(3, math.ceil(ramp_s / RAMP_POINT_S))
        points = []
        for fraction in np.linspace(0.0, 1.0, count + 1)[1:]:
            position, velocity = self.sample(at_s + rate * ramp_s * (fraction - fraction**2 / 2))
            points.append((float(fraction * ramp_s), position, velocity * rate * (1 - fraction)))
        return points

    def progress(self, current: F64, latest_s: float, lookback_s: float) -> float:
        """Time, up to `lookback_s` before `latest_s`, at which it is nearest to `current`; the latest such time."""
        latest, earliest = min(latest_s, self.duration_s), max(0.0, latest_s - lookback_s)
        for _ in range(2):  # coarse, then between the neighbours of what was found
            times, step = np.linspace(latest, earliest, 100), (latest - earliest) / 99
            off = np.abs(self.samples(np.clip(times, 0.0, self.duration_s))[0] - current).max(axis=1)
            found = float(times[np.argmin(off)])
            latest, earliest = min(latest, found + step), max(earliest, found - step)
        return found

    def slower(self, factor: float) -> Trajectory:
        """Same path in `factor` times the time."""
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


def through(start: Row, rows: Sequence[Row] | F64, period_s: float, speeds: Row) -> Trajectory:
    """From rest at `start` through `rows`, the first one a period from now, to rest at the last.

    Straight from row to row with corners rounded over `BLEND_S`, so that no speed is above that of the rows; half that
    long behind them. Where `speeds` ask for it, all of it takes longer.
    """
    points = np.vstack([np.asarray(start, dtype=np.float64), np.asarray(rows, dtype=np.float64)])
    rounded = blended(points, period_s, min(BLEND_S, period_s))
    return rounded.slower(max(1.0, float((rounded.peaks() / np.asarray(speeds)).max())))


def towards(start: Row, target: Row, speeds: Row, acceleration: float, min_duration_s: float = 0.0) -> Trajectory:
    """From rest at `start` to rest at `target`, all joints together, as fast as `speeds` allow.

    Args:
        start: (k,) positions.
        target: (k,) positions.
        speeds: top speed of each joint.
        acceleration: of the joint with the longest distance, in both directions [rad/s^2]; the profile is a trapezoid.
        min_duration_s: the motion takes about this long where it would be faster.
    """
    points = np.array([start, target], dtype=np.float64)
    distances = np.abs(points[1] - points[0])
    furthest = float(distances.max())
    need_s = max(MIN_S, math.sqrt(furthest / acceleration), float((distances / np.asarray(speeds)).max()))
    travel_s = max(need_s, min_duration_s - furthest / need_s / acceleration)
    blend_s = max(MIN_S, furthest / travel_s / acceleration)
    return blended(points, travel_s, min(blend_s, travel_s))


def halt(positions: Row, velocities: Row, decelerations: Sequence[float]) -> Trajectory:
    """From a moving state to rest: every joint slows down evenly, the last one within its deceleration."""
    current, speed = np.asarray(positions, dtype=np.float64), np.asarray(velocities, dtype=np.float64)
    ramp_s = max(MIN_RAMP_S, float((np.abs(speed) / np.asarray(decelerations)).max()))
    points = np.vstack([current, current + speed * ramp_s / 2])
    return Trajectory(np.array([0.0, ramp_s]), points, np.vstack([speed, np.zeros_like(speed)]))


def blended(rows: F64, period_s: float, blend_s: float) -> Trajectory:
    """Straight lines from row to row, averaged over `blend_s`: parabolas round the corners, exact at the points."""
    corners = period_s * np.arange(len(rows))
    slopes = np.vstack([np.zeros_like(rows[:1]), np.diff(rows, axis=0) / period_s, np.zeros_like(rows[:1])])
    cut = slopes[:-1] * blend_s / 2  # at a corner the average is half a blend of the stretch before behind it
    times = np.column_stack([corners, corners + blend_s]).ravel()
    positions = np.stack([rows - cut, rows + slopes[1:] * blend_s / 2], axis=1).reshape(-1, rows.shape[1])
    velocities = np.stack([slopes[:-1], slopes[1:]], axis=1).reshape(-1, rows.shape[1])
    kept = np.append(np.diff(times) > 1e-9, True)  # with a blend of one period two corners touch
    return Trajectory(times[kept], positions[kept], velocities[kept])


def _of(points: Sequence[tuple[float, F64, F64]]) -> Trajectory:
    times, positions, velocities = zip(*points)
    return Trajectory(np.array(times), np.array(positions), np.array(velocities))
