"""Speed limit of a Stretch's base: slow unless its lift is low and its arm retracted.

The SDK's own sentry (robot_params_RE1V0.py base.sentry_max_velocity) holds `translate_by` and `rotate_by` to this, and
not the velocity mode (https://github.com/hello-robot/stretch_body/issues/311). Here it applies to every base speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from robots.embodiment import BaseLimits

WHEEL_SEPARATION_M = 0.3153  # robot_params_RE1V0.py base.wheel_separation_m


@dataclass(frozen=True)
class BaseSpeedLimit:
    """Limits the base's speed by the posture. Defaults: robot_params_RE1V0.py base.sentry_max_velocity.

    Attributes:
        lift_m: the base may be fast while the lift is below this height,
        arm_m: the arm is extended by less than this,
        wrist_yaw_rad: and the wrist is folded in beyond this angle.
        speed_mps: top speed of a wheel in any other posture.
        acceleration_mps2: of a wheel in any other posture.
    """

    lift_m: float = 0.3
    arm_m: float = 0.03
    wrist_yaw_rad: float = 2.54
    speed_mps: float = 0.1
    acceleration_mps2: float = 0.15

    def scaled(self, fraction: float) -> BaseSpeedLimit:
        """Copy with its speed scaled by `fraction`, in (0, 1]."""
        return replace(self, speed_mps=fraction * self.speed_mps)

    def allows_full_speed(self, positions: Mapping[str, float]) -> bool:
        """True when the robot may be fast with its joints at `positions` ([m] and [rad])."""
        low, arm_in = positions["joint_lift"] < self.lift_m, positions["joint_arm"] < self.arm_m
        return low and arm_in and positions["joint_wrist_yaw"] > self.wrist_yaw_rad

    def wheel_speed(self, base: BaseLimits, positions: Mapping[str, float]) -> float:
        """Top speed of a wheel [m/s]."""
        return base.max_speed_mps if self.allows_full_speed(positions) else min(self.speed_mps, base.max_speed_mps)

    def turn_speed(self, base: BaseLimits, positions: Mapping[str, float]) -> float:
        """Top speed of a turn on the spot [rad/s]."""
        return min(base.max_turn_radps, 2 * self.wheel_speed(base, positions) / WHEEL_SEPARATION_M)

    def twist(
        self, speed_mps: float, turn_radps: float, base: BaseLimits, positions: Mapping[str, float]
    ) -> tuple[float, float]:
        """Requested velocity, scaled as a whole so that neither wheel is too fast: (speed [m/s], turn [rad/s])."""
        wheel = abs(speed_mps) + abs(turn_radps) * WHEEL_SEPARATION_M / 2
        turn = abs(turn_radps) / base.max_turn_radps
        excess = max(1.0, wheel / self.wheel_speed(base, positions), turn)
        return speed_mps / excess, turn_radps / excess
