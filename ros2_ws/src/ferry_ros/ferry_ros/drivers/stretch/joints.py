"""The lift, arm, wrist, head and gripper of a Stretch behind its vendor's driver: moved by streamed positions.

The driver takes the positions of all of them each time, so what the others hold is kept here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ferry_ros.drivers.joint_stream import SHORT, Arrival, JointPort, JointStream, Positions, wait_at_rest
from ferry_ros.drivers.stretch import qpos
from ferry_ros.drivers.stretch.link import StretchLink
from ferry_ros.drivers.stretch.qpos import GRIPPER
from robots.embodiment import JointLimits
from robots.errors import RobotError

# Near: choices of this project. Far: acceptable_joint_error in stretch_core/command_groups.py of stretch_ros2; that of
# the tilt, 0.52 rad, is too much for arrival, so the pan's is used; there is none for the wrist.
ARRIVALS = {
    "joint_lift": Arrival(0.004, 0.015),
    "joint_arm": Arrival(0.004, 0.008),
    "joint_wrist_yaw": Arrival(0.02, 0.05),
    "joint_head_pan": Arrival(0.02, 0.15),
    "joint_head_tilt": Arrival(0.02, 0.15),
    GRIPPER: Arrival(0.003, 0.005),
}

HELD_SHORT_M = 0.01
"""Fingers at rest this far short of their squeezing target hold an object."""

PUSHING_PCT = 20.0
"""A joint at rest short of its target with this effort is in contact: an estimate."""


class StretchJoints:
    """Moves joints over `link` within `limits`; what is held at first is where they are.

    Args:
        ranges: what the driver can move each joint to, beyond `limits` for the squeezing gripper.
        squeeze_pct: what a grasp closes the gripper to, in the vendor's percent.
        held_effort_pct: the least effort, in percent, of a gripper that holds something.
        fault: returns why a motion must end now, or "".
    """

    def __init__(
        self,
        link: StretchLink,
        limits: Mapping[str, JointLimits],
        ranges: Mapping[str, tuple[float, float]],
        squeeze_pct: float,
        held_effort_pct: float,
        fault: Callable[[], str],
    ) -> None:
        self._link, self._limits, self._fault = link, limits, fault
        self._squeeze_m = max(qpos.aperture_of_pct(squeeze_pct), ranges.get(GRIPPER, (0.0, 0.0))[0])
        self._held_effort_pct = held_effort_pct
        self._hold = dict(link.feedback.positions)
        self._squeezing = False

    @property
    def in_hand(self) -> bool:
        """True when, after a grasp, the fingers are at rest short of their target with effort."""
        feedback = self._link.feedback
        short = feedback.positions[GRIPPER] - self._squeeze_m > HELD_SHORT_M
        return self._squeezing and short and abs(feedback.efforts.get(GRIPPER, 0.0)) >= self._held_effort_pct

    def reach(self, targets: Mapping[str, float], duration_s: float = 0.0) -> str:
        """Moves to `targets` [m] or [rad], in `duration_s` if the speeds allow; returns why it did not get there."""
        self._squeezing = self._squeezing and GRIPPER not in targets
        reason = self._stream(targets, duration_s)
        return self._explained(reason, targets) if reason.startswith(SHORT) else reason

    def grasp(self) -> str:
        """Closes until an object holds the fingers apart; opens again, with a failure, when there is none."""
        open_m = self._hold[GRIPPER]
        reason = self._stream({GRIPPER: self._squeeze_m})
        if reason and not reason.startswith(SHORT):
            return reason
        self._squeezing = True
        self._send({GRIPPER: self._squeeze_m})
        if self.in_hand:
            return ""
        return self.reach({GRIPPER: open_m}) or "nothing held: the fingers closed on nothing"

    def _explained(self, reason: str, targets: Mapping[str, float]) -> str:
        efforts = {name: abs(self._link.feedback.efforts.get(name, 0.0)) for name in targets}
        kind = "contact" if max(efforts.values()) >= PUSHING_PCT else "not reached"
        listed = ", ".join(f"{effort:.0f}" for effort in efforts.values())
        return f"{kind}: {reason.removeprefix(SHORT)} at an effort of {listed} %"

    def settle(self) -> None:
        """Called before a motion, so that it does not pull back a joint that another client moved in the meantime."""
        for name, at in self._link.feedback.positions.items():
            if abs(at - self._hold[name]) > ARRIVALS[name].far and not (name == GRIPPER and self._squeezing):
                self._hold[name] = at

    def hold(self) -> None:
        """Holds every joint where it was measured; a gripper that squeezes goes on."""
        squeezed = {GRIPPER: self._squeeze_m} if self._squeezing else {}
        self._send({**self._link.feedback.positions, **squeezed})

    def wait_at_rest(self, timeout_s: float) -> None:
        """Waits until every joint is measured at rest, or until `timeout_s` without measurements."""

        def news() -> Positions | None:
            try:
                return self._link.wait(time.monotonic_ns(), timeout_s).positions
            except RobotError:
                return None

        wait_at_rest(news, ARRIVALS)

    def repeat(self) -> None:
        """Sends again what is held."""
        self._send({})

    def _send(self, positions: Mapping[str, float]) -> None:
        wanted = {**self._hold, **positions}
        self._hold = {name: min(max(at, self._lowest(name)), self._limits[name].high) for name, at in wanted.items()}
        self._link.send_pose(self._hold)

    def _lowest(self, name: str) -> float:
        return min(self._squeeze_m, 0.0) if name == GRIPPER else self._limits[name].low

    def _stream(self, targets: Mapping[str, float], duration_s: float = 0.0) -> str:
        here = self._link.feedback.positions
        speeds = {name: self._speed(name, abs(target - here[name]), duration_s) for name, target in targets.items()}
        port = JointPort(self._send, lambda: self._link.feedback.positions, self._fault)
        return JointStream(port, targets, speeds, ARRIVALS).run()

    def _speed(self, joint: str, distance: float, duration_s: float) -> float:
        top = self._limits[joint].max_speed
        return min(top, max(distance / duration_s, 0.05 * top)) if duration_s > 0 else top
