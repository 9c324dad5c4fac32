"""Joins the trajectory of the next chunk on to the one that runs, without a jump in position, velocity or acceleration.

From the state that the arm is commanded to at one time to the state that the next chunk asks for a moment later leads
the motion of least jerk, a polynomial of the fifth degree; the moment is as long as the joints' limits need. Measured
against blending over the overlap and `ruckig` in docs/decisions/0014-chunks-without-a-pause.md.
"""

from __future__ import annotations

import math

import numpy as np

from robots.arms.trajectory import BLEND_S, F64, Row, Trajectory, blended

MIN_JOIN_S, MAX_JOIN_S = 0.1, 0.8
"""Shortest and longest duration of a join: a chunk that needs longer has nothing to do with the one that runs."""

POINT_S = 0.02
"""A join has a point this often; between two it is a cubic."""

KEPT_S = 1.0
"""So much of what is over is kept: servos lag, and are compared with where they were sent a moment ago."""

ACCELERATIONS, JERK_HZ = 2.0, 40.0
"""Limits of a join, as multiples of the planned acceleration: largest acceleration, and jerk [1/s]."""

GROWTH = 1.3
"""The duration grows by this until the limits hold."""


class Apart(Exception):
    """The two cannot be joined within the limits; the message says how far they are apart."""


def follow_on(base: Row, speed: Row, rows: F64, period_s: float) -> Trajectory:
    """Trajectory from `base` (k,), moving at `speed` (k,), through `rows` (n, k), the first one a period from now.

    Its corners are rounded as those of `through`, so that it is half a rounding late everywhere.
    """
    before = np.asarray(base) - period_s * np.asarray(speed)
    return blended(np.vstack([before, base, rows]), period_s, rounding_s(period_s)).since(period_s)


def rounding_s(period_s: float) -> float:
    """Time over which the corners of a chunk are rounded."""
    return min(BLEND_S, period_s)


def join(
    running: Trajectory, following: Trajectory, sensed_s: float, at_s: float, speeds: Row, acceleration: float
) -> tuple[Trajectory, float]:
    """Trajectory that leaves `running` at `at_s` and ends as `following`.

    Args:
        running: the present one.
        following: the next one, whose times count from `sensed_s`.
        sensed_s: time on the clock of `running`.
        at_s: time on the same clock at which the join begins; until then nothing changes.
        speeds: top speed of each joint.
        acceleration: of planned motions [rad/s^2]; see `ACCELERATIONS` and `JERK_HZ`.

    Returns:
        The trajectory, and the time of `running` from which its times count: it still has `KEPT_S` of what is over.

    Raises:
        Apart: it cannot be done within `MAX_JOIN_S`, or before `following` ends.
    """
    ends_s, duration_s = sensed_s + following.duration_s, MIN_JOIN_S
    while duration_s <= MAX_JOIN_S and at_s + duration_s <= ends_s:
        path = _least_jerk(running, following, sensed_s, at_s, duration_s, acceleration)
        if path is not None and (path.peaks() <= np.asarray(speeds)).all():
            return _spliced(running, path, following, sensed_s, at_s)
        duration_s *= GROWTH
    gap = float(np.abs(running.at(at_s) - following.at(at_s - sensed_s)).max())
    raise Apart(f"the chunk begins {gap:.3f} off what runs, {max(0.0, ends_s - at_s):.2f} s before its own end")


def _least_jerk(
    running: Trajectory, following: Trajectory, sensed_s: float, at_s: float, duration_s: float, acceleration: float
) -> Trajectory | None:
    """The motion from one to the other in `duration_s`; None where it is beyond the limits of acceleration or jerk."""
    most, t = ACCELERATIONS * acceleration, duration_s
    (p0, v0), a0 = running.sample(at_s), running.acceleration(at_s)
    until_s = at_s + t - sensed_s
    (p1, v1), a1 = following.sample(until_s), np.clip(following.acceleration(until_s), -most, most)
    way, change, bend = p1 - p0 - v0 * t - a0 * t**2 / 2, (v1 - v0 - a0 * t) * t, (a1 - a0) * t**2
    cubic, quartic, quintic = (
        10 * way - 4 * change + bend / 2,
        -15 * way + 7 * change - bend,
        6 * way - 3 * change + bend / 2,
    )
    s = np.linspace(0.0, 1.0, max(6, math.ceil(t / POINT_S) + 1))[:, None]
    accelerations = a0 + (6 * cubic * s + 12 * quartic * s**2 + 20 * quintic * s**3) / t**2
    jerks = (6 * cubic + 24 * quartic * s + 60 * quintic * s**2) / t**3
    bent = max(most, float(np.abs(a0).max()))  # where it begins it may be in a corner of the rows
    if np.abs(accelerations).max() > bent or np.abs(jerks).max() > JERK_HZ * acceleration:
        return None
    positions = p0 + v0 * t * s + a0 * (t * s) ** 2 / 2 + cubic * s**3 + quartic * s**4 + quintic * s**5
    velocities = v0 + a0 * t * s + (3 * cubic * s**2 + 4 * quartic * s**3 + 5 * quintic * s**4) / t
    return Trajectory(t * s[:, 0], positions, velocities)


def _spliced(
    running: Trajectory, path: Trajectory, following: Trajectory, sensed_s: float, at_s: float
) -> tuple[Trajectory, float]:
    rest_s = (following.times_s + sensed_s)[following.times_s + sensed_s > at_s + path.duration_s + 1e-6]
    places, speeds = following.held(rest_s - sensed_s)
    times_s = np.append(path.times_s, rest_s - at_s)
    later = Trajectory(times_s, np.vstack([path.positions, places]), np.vstack([path.velocities, speeds]))
    begins_s = max(0.0, at_s - KEPT_S)
    return switched(running, later, at_s, begins_s), begins_s


def switched(running: Trajectory, later: Trajectory, at_s: float, begins_s: float) -> Trajectory:
    """That which runs until `at_s`, then `later`; its times count from `begins_s` on the clock of `running`."""
    before_s = running.times_s[(running.times_s > begins_s + 1e-6) & (running.times_s < at_s - 1e-6)]
    before_s = np.append(begins_s, before_s) if begins_s < at_s - 1e-6 else np.empty(0)
    places, speeds = running.held(before_s)
    times_s = np.append(before_s, at_s + later.times_s) - begins_s
    return Trajectory(times_s, np.vstack([places, later.positions]), np.vstack([speeds, later.velocities]))
