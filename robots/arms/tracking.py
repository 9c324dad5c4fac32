"""Tracking of commanded joint trajectories: tracking error, settling, and error at the goal."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from robots.arms.trajectory import Trajectory
from robots.limits import GRIPPER_JOINT

F64 = npt.NDArray[np.float64]

LAG_S = 0.5
"""Permitted delay of a servo [s]; AgileX' firmware plans its own ramps between targets. Estimate, to be measured."""

LAG_RAD = 0.1
"""Permitted error of a servo beyond that delay [rad] or [m]."""

ARRIVED = 0.015
"""Tolerance at the goal [rad] or [m]."""

ARRIVED_GRIPPER_M = 0.002

STILL_S, STILL = 0.06, 0.002
"""A joint that moves less than STILL [rad] or [m] within STILL_S has settled."""

HELD_S = 0.3
"""Fingers at rest for so long short of their goal hold an object, or have reached a mechanical end [s]."""

ASLEEP_S = 0.4
"""A streamed motion is aborted when its process was suspended for longer: the clock is ahead of the arm [s]."""


def tracking_error(trajectory: Trajectory | None, elapsed_s: float, names: Sequence[str], measured: F64) -> str:
    """First joint that is further than LAG_RAD from every position commanded in the last LAG_S, as text; empty if none.

    Args:
        trajectory: as commanded; None when nothing is.
        elapsed_s: when the joints were measured, from the start of the trajectory.
        names: of the joints.
        measured: positions (n,) in the same order.
    """
    if trajectory is None:
        return ""
    commanded = np.array([trajectory.at(elapsed_s - k * LAG_S / 5) for k in range(6)])
    errors = np.maximum(commanded.min(axis=0) - measured, measured - commanded.max(axis=0))
    for name, error in zip(names, errors):
        if error > LAG_RAD:
            return f"contact: {name} is {error:.3f} off its trajectory for {LAG_S} s, by its own feedback"
    return ""


class SettleDetector:
    """Detects from measured positions (n,) which joints have settled."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, F64]] = deque()

    def settled(self, now_s: float, measured: F64, over_s: float = STILL_S) -> npt.NDArray[np.bool_]:
        """Adds a measurement; returns which positions have changed by less than STILL for `over_s`, (n,) bool."""
        self._history.append((now_s, np.asarray(measured)))
        while now_s - self._history[0][0] > HELD_S + STILL_S:
            self._history.popleft()
        if now_s - self._history[0][0] < over_s:
            return np.zeros(len(measured), dtype=bool)
        recent = np.array([positions for at_s, positions in self._history if now_s - at_s <= over_s * 1.2])
        return np.asarray(np.ptp(recent, axis=0) < STILL)


def goal_error(goal: Mapping[str, float], measured: Sequence[float] | F64, held: bool) -> str:
    """First joint that is not at its goal, and its error, as text; empty when all are.

    Args:
        goal: joint name -> target position.
        measured: positions in the same order.
        held: the fingers have been at rest for HELD_S: what blocks them is the object they hold.
    """
    for (name, target), current in zip(goal.items(), measured):
        tolerance = ARRIVED_GRIPPER_M if name == GRIPPER_JOINT else ARRIVED
        if abs(target - current) > tolerance and not (name == GRIPPER_JOINT and held and current > target):
            return f"{name} is at {current:.3f}, {abs(target - current):.3f} from its goal"
    return ""
