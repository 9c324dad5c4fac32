"""The mechanics of a fake Stretch RE1: joints and a base that move as fast as the real ones do, and no further.

Numbers: robot_params_RE1V0.py of hello-robot-stretch-body 0.7.31 (ranges nominal, `default` motion profiles).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

GRIPPER = "gripper_aperture"


@dataclass(frozen=True)
class Axis:
    """Range, speed and acceleration of a joint [m] or [rad]."""

    low: float
    high: float
    speed: float
    accel: float


AXES = {
    "joint_lift": Axis(0.0, 1.095, 0.095, 0.15),
    "joint_arm": Axis(0.0, 0.515, 0.14, 0.14),
    "joint_wrist_yaw": Axis(-1.384, 4.586, 2.0, 3.0),
    "joint_head_pan": Axis(-4.083, 1.787, 3.0, 8.0),
    "joint_head_tilt": Axis(-1.690, 0.419, 3.0, 8.0),
    GRIPPER: Axis(-0.1286, 0.1029, 0.10, 0.5),  # -100 to 80 %; its speed in metres is an estimate
}
STOWED = {
    "joint_lift": 0.2,
    "joint_arm": 0.0,
    "joint_wrist_yaw": 3.4,
    "joint_head_pan": 0.0,
    "joint_head_tilt": 0.0,
    GRIPPER: 0.09,
}
BASE_ACCEL = (0.4, 2.5)  # m/s^2, and rad/s^2 over the wheel separation of 0.3153 m
PRESSING_PCT = -40.0
CONTACT_PCT = 60.0


@dataclass
class Mechanics:
    """Advances by small steps of time.

    Attributes:
        positions: joint name -> [m] or [rad].
        targets: where each joint goes; out of range it is cut off without a word, as by the vendor's library.
        pose: (x_m, y_m, yaw_rad) of the base.
        wanted: the base's velocity that was asked for, forward [m/s] and turning [rad/s].
        moving: the base's velocity now.
        stops: obstacles: a joint that moves up is stopped at this position.
        wall_m: the base cannot get beyond this x.
        object_m: width of what is between the fingers; 0 when there is nothing.
        pace: how many times faster than those of a real one its joints are.
    """

    positions: dict[str, float] = field(default_factory=lambda: dict(STOWED))
    targets: dict[str, float] = field(default_factory=lambda: dict(STOWED))
    speeds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(AXES, 0.0))
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    wanted: tuple[float, float] = (0.0, 0.0)
    moving: tuple[float, float] = (0.0, 0.0)
    stops: dict[str, float] = field(default_factory=dict)
    wall_m: float = math.inf
    object_m: float = 0.0
    pace: float = 1.0

    def move_to(self, joint: str, target: float) -> None:
        """Sends a joint to `target`, or to the end of its range."""
        self.targets[joint] = min(max(target, AXES[joint].low), AXES[joint].high)

    def stop(self) -> None:
        """Holds every joint in position, without force, and stops the base."""
        self.targets, self.wanted = dict(self.positions), (0.0, 0.0)

    def effort_pct(self, joint: str) -> float:
        """Of a joint that something keeps from its target."""
        short = self.targets[joint] - self.positions[joint]
        if joint == GRIPPER:
            touching = self.positions[joint] <= self.object_m + 0.001
            return PRESSING_PCT if self.object_m and touching and short < -0.001 else 0.0
        return CONTACT_PCT if short > 0.001 and self.positions[joint] >= self.stops.get(joint, math.inf) else 0.0

    def advance(self, period_s: float) -> None:
        """Moves on by `period_s`."""
        for joint in AXES:
            self._advance_joint(joint, period_s)
        self._advance_base(period_s)

    def _advance_joint(self, joint: str, period_s: float) -> None:
        axis, here, target = AXES[joint], self.positions[joint], self.targets[joint]
        way, accel = target - here, self.pace * axis.accel
        braking = math.sqrt(2 * accel * abs(way))
        speed = min(self.speeds[joint] + accel * period_s, self.pace * axis.speed, braking)
        step = math.copysign(min(abs(way), speed * period_s), way)
        there = min(here + step, max(here, self.stops.get(joint, math.inf)))
        if joint == GRIPPER and self.object_m and there < here:
            there = max(there, min(here, self.object_m))
        self.positions[joint] = there
        self.speeds[joint] = abs(there - here) / period_s

    def _advance_base(self, period_s: float) -> None:
        forward, turning = (
            now + min(max(wanted - now, -accel * period_s), accel * period_s)
            for now, wanted, accel in zip(self.moving, self.wanted, BASE_ACCEL)
        )
        x, y, yaw = self.pose
        middle = yaw + turning * period_s / 2
        ahead = x + forward * math.cos(middle) * period_s
        if ahead > self.wall_m:
            ahead, forward = max(x, self.wall_m), 0.0
        self.pose = (
            ahead,
            y + forward * math.sin(middle) * period_s,
            math.remainder(yaw + turning * period_s, math.tau),
        )
        self.moving = (forward, turning)
