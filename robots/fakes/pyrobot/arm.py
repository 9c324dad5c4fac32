"""The arm and the gripper of a fake `pyrobot.Robot`, with PyRobot's names and signatures; they move at once.

Ferry's LoCoBot leaves its arm folded, so nothing of Ferry drives them: they are for trying out programs of one's own.
"""

from __future__ import annotations

from collections.abc import Sequence

JOINTS = 5  # joint_1 .. joint_5 (src/pyrobot/cfg/locobot_config.py)
LIMIT_RAD = 1.57  # of every joint (interbotix_locobot_description.urdf)
OPEN, CLOSED = 0, 3  # get_gripper_state (src/pyrobot/locobot/gripper.py)


class Arm:
    """`pyrobot.Robot.arm`."""

    def __init__(self) -> None:
        self._angles = [0.0] * JOINTS

    def get_joint_angles(self) -> list[float]:
        """Angles [rad], (5,)."""
        return list(self._angles)

    def set_joint_positions(self, positions: Sequence[float], plan: bool = True, wait: bool = True) -> bool:
        """Moves to `positions` [rad], (5,); False, and nothing moves, when one is beyond its limit."""
        if len(positions) != JOINTS or any(abs(angle) > LIMIT_RAD for angle in positions):
            return False
        self._angles = [float(angle) for angle in positions]
        return True

    def go_home(self, plan: bool = False) -> bool:
        """All joints to zero."""
        return self.set_joint_positions([0.0] * JOINTS, plan=plan)


class Gripper:
    """`pyrobot.Robot.gripper`."""

    def __init__(self) -> None:
        self._state = CLOSED

    def get_gripper_state(self) -> int:
        """0 fully open, 3 fully closed."""
        return self._state

    def open(self, wait: bool = True) -> None:
        """Opens fully."""
        self._state = OPEN

    def close(self, wait: bool = True) -> None:
        """Closes fully."""
        self._state = CLOSED
