"""Whether an arm does what its servos were told: follows its path, and stands at the end of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from robots.arms.trajectory import Trajectory
from robots.limits import GRIPPER_JOINT

F64 = npt.NDArray[np.float64]

LAG_S = 0.5
"""A servo may be this far behind; AgileX' firmware plans its own ramps between targets. Estimate, to be measured."""

LAG_RAD = 0.1
"""And this far off [rad] or [m]."""

ARRIVED = 0.015
"""A joint this near its goal has arrived [rad] or [m]."""

ARRIVED_GRIPPER_M = 0.002

STILL_S, STILL = 0.06, 0.002
"""Who moves less than this [rad] or [m] in this time stands."""

HELD_S = 0.3
"""Fingers that have stood this long short of their goal hold something, or have met an end."""


ASLEEP_S = 0.4
"""Who streams a motion and did not run for so long does not go on with it: the clock is ahead of the arm [s]."""


def behind(way: Trajectory | None, elapsed_s: float, names: Sequence[str], measured: F64) -> str:
    """Which joint was not where it was told to be at any time lately, and by how much; empty when all were.

    `elapsed_s` is when the joints `names` were `measured`, from the start of the `way`.
    """
    if way is None:
        return ""
    lately = np.array([way.at(elapsed_s - k * LAG_S / 5) for k in range(6)])
    off = np.maximum(lately.min(axis=0) - measured, measured - lately.max(axis=0))
    for name, by in zip(names, off):
        if by > LAG_RAD:
            return f"contact: {name} is {by:.3f} off its path for {LAG_S} s, by its own account"
    return ""


class Standing:
    """Looks at measured positions (n,) and tells since when they have not changed."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, F64]] = deque()

    def still(self, now_s: float, measured: F64, over_s: float = STILL_S) -> npt.NDArray[np.bool_]:
        """Which of the positions have changed by less than STILL for `over_s`; (n,) bool."""
        self._seen.append((now_s, np.asarray(measured)))
        while now_s - self._seen[0][0] > HELD_S + STILL_S:
            self._seen.popleft()
        if now_s - self._seen[0][0] < over_s:
            return np.zeros(len(measured), dtype=bool)
        lately = np.array([positions for at_s, positions in self._seen if now_s - at_s <= over_s * 1.2])
        return np.asarray(np.ptp(lately, axis=0) < STILL)


def missing(goal: Mapping[str, float], measured: Sequence[float] | F64, held: bool) -> str:
    """The first joint that is not at its goal, and by how much; empty when all are.

    Args:
        goal: joint name -> where it should be.
        measured: where they are, in the same order.
        held: the fingers have stood for a while: what stops them is what they hold.
    """
    for (name, there), here in zip(goal.items(), measured):
        near = ARRIVED_GRIPPER_M if name == GRIPPER_JOINT else ARRIVED
        if abs(there - here) > near and not (name == GRIPPER_JOINT and held and here > there):
            return f"{name} is at {here:.3f}, {abs(there - here):.3f} from its goal"
    return ""
