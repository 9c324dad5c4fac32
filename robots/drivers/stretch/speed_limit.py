"""How fast the base of a Stretch may be: slow unless its mass is low and its arm is in.

The SDK's own sentry (robot_params_RE1V0.py base.sentry_max_velocity) holds `translate_by` and `rotate_by` to this, and
not the velocity mode (https://github.com/hello-robot/stretch_body/issues/311). Here every speed of the base passes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from robots.embodiment import BaseLimits

WHEEL_SEPARATION_M = 0.3153  # robot_params_RE1V0.py base.wheel_separation_m


@dataclass(frozen=True)
class Gate:
    """Below these the base may be fast. Defaults: robot_params_RE1V0.py base.sentry_max_velocity.

    Attributes:
        lift_m: height of the lift below which it is low.
        arm_m: extension below which the arm is in.
        wrist_yaw_rad: angle above which the wrist is folded in.
        speed_mps: top speed of a wheel otherwise.
        acceleration_mps2: of a wheel otherwise.
    """

    lift_m: float = 0.3
    arm_m: float = 0.03
    wrist_yaw_rad: float = 2.54
    speed_mps: float = 0.1
    acceleration_mps2: float = 0.15

    def slowed(self, share: float) -> Gate:
        """The same gate with its speed at a share (0, 1]."""
        return replace(self, speed_mps=share * self.speed_mps)

    def open(self, positions: Mapping[str, float]) -> bool:
        """Whether a body whose joints are at `positions` ([m] and [rad]) may be fast."""
        low, arm_in = positions["joint_lift"] < self.lift_m, positions["joint_arm"] < self.arm_m
        return low and arm_in and positions["joint_wrist_yaw"] > self.wrist_yaw_rad

    def wheel_speed(self, base: BaseLimits, positions: Mapping[str, float]) -> float:
        """Top speed of a wheel [m/s]."""
        return base.max_speed_mps if self.open(positions) else min(self.speed_mps, base.max_speed_mps)

    def turn_speed(self, base: BaseLimits, positions: Mapping[str, float]) -> float:
        """Top speed of a turn on the spot [rad/s]."""
        return min(base.max_turn_radps, 2 * self.wheel_speed(base, positions) / WHEEL_SEPARATION_M)

    def twist(
        self, speed_mps: float, turn_radps: float, base: BaseLimits, positions: Mapping[str, float]
    ) -> tuple[float, float]:
        """The asked velocity, scaled as a whole so that neither wheel is too fast: (speed [m/s], turn [rad/s])."""
        wheel = abs(speed_mps) + abs(turn_radps) * WHEEL_SEPARATION_M / 2
        turn = abs(turn_radps) / base.max_turn_radps
        share = max(1.0, wheel / self.wheel_speed(base, positions), turn)
        return speed_mps / share, turn_radps / share
