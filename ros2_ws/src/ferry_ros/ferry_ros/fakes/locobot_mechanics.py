"""The mechanics of a fake LoCoBot: a Kobuki before a wall, and two servos.

Numbers: kobuki_core acceleration_limiter.hpp; xslocobot_control modes_all.yaml (camera: profile velocity 131 of
0.229 rpm, profile acceleration 15 of 214.577 rev/min^2) and the URDF's ranges, in the vendor's signs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

RANGES = {"pan": (-1.570796, 1.570796), "tilt": (-1.570796, 1.308997)}  # tilt counts downwards
SPEED_RADPS = 131 * 0.229 * 2 * math.pi / 60
ACCEL_RADPS2 = 15 * 214.577 * 2 * math.pi / 3600
BASE_ACCEL = (0.6, 4.2)  # m/s^2, rad/s^2
TIMEOUT_S = 2.0
"""cmd_vel_timeout_sec in kobuki_node_params.yaml: a velocity is held for so long."""


@dataclass
class Servo:
    """One motor of the head.

    Attributes:
        name: pan or tilt.
        torque: without it, it stays where it is and takes no goal.
    """

    name: str
    torque: bool = True
    position: float = 0.0
    speed: float = 0.0
    goal: float = 0.0

    def move_to(self, goal: float) -> None:
        """Sets the goal; one that is out of range is refused by the xs_sdk, without a word."""
        low, high = RANGES[self.name]
        if self.torque and low <= goal <= high:
            self.goal = goal

    def advance(self, period_s: float) -> None:
        """Moves on, with a trapezoid of speed."""
        if not self.torque:
            self.goal, self.speed = self.position, 0.0
            return
        way = self.goal - self.position
        braking = math.sqrt(2 * ACCEL_RADPS2 * abs(way))
        self.speed = min(self.speed + ACCEL_RADPS2 * period_s, SPEED_RADPS, braking)
        self.position += math.copysign(min(abs(way), self.speed * period_s), way)


@dataclass
class Kobuki:
    """The base.

    Attributes:
        wall_m: its x cannot get beyond; there the bumper is pressed.
        pose: (x_m, y_m, yaw_rad).
        moving: its velocity now, forward [m/s] and turning [rad/s].
    """

    wall_m: float = math.inf
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    moving: tuple[float, float] = (0.0, 0.0)
    _wanted: tuple[float, float] = (0.0, 0.0)
    _told_s: float = field(default=-math.inf)

    def command(self, wanted: tuple[float, float], now_s: float) -> None:
        """Takes a velocity."""
        self._wanted, self._told_s = wanted, now_s

    @property
    def touching(self) -> bool:
        """True while the wall presses the bumper."""
        return self.pose[0] >= self.wall_m - 1e-3 and math.cos(self.pose[2]) > 0

    def advance(self, now_s: float, period_s: float) -> None:
        """Advances the motion; an expired velocity command counts as zero."""
        wanted = self._wanted if now_s - self._told_s < TIMEOUT_S else (0.0, 0.0)
        forward, turning = (
            now + min(max(want - now, -accel * period_s), accel * period_s)
            for now, want, accel in zip(self.moving, wanted, BASE_ACCEL)
        )
        x, y, yaw = self.pose
        middle = yaw + turning * period_s / 2
        ahead = x + forward * math.cos(middle) * period_s
        if ahead > self.wall_m:
            ahead, forward = max(x, self.wall_m), 0.0
        there = y + forward * math.sin(middle) * period_s
        self.pose = (ahead, there, math.remainder(yaw + turning * period_s, math.tau))
        self.moving = (forward, turning)
