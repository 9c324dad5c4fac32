"""Model of a Piper behind its CAN bus: six joints and a gripper that follow targets as the firmware does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from robots.embodiments.piper import ACCELERATION_RADPS2, GRIPPER_SPEED_MPS, HOME_RAD, RANGES_RAD, TOP_SPEED_RADPS

FAULTS = ("estop", "freeze", "lose", "bus-off", "switch-off", "jam", "teach", "hot")
"""estop: the red button; freeze: feedback repeats itself; lose: the arm falls silent; bus-off: this computer's CAN
controller leaves the bus; switch-off: the motors let go; jam: no joint turns any more; teach: the arm's own button
puts it into teaching; hot: a motor is too hot."""

HEAL = "heal"
"""Word that ends all faults; mode and motors stay as they left them until commanded."""

STANDBY, CAN_CONTROL, TEACHING = 0x00, 0x01, 0x02


@dataclass
class Joint:
    """One axis with a servo: limited in range, speed and acceleration."""

    low: float
    high: float
    position: float
    target: float
    speed: float = 0.0

    def step(self, dt: float, top_speed: float, acceleration: float) -> None:
        """Moves for `dt` towards the target, braking in time."""
        target = min(max(self.target, self.low), self.high)
        gap = target - self.position
        wish = math.copysign(min(top_speed, math.sqrt(2 * acceleration * abs(gap)), abs(gap) / dt), gap)
        change = min(max(wish - self.speed, -acceleration * dt), acceleration * dt)
        self.speed += change
        self.position += self.speed * dt


@dataclass
class PiperArm:
    """State of the arm and its reaction to commands, independent of CAN.

    Attributes:
        joints: the six axes [rad].
        gripper: its aperture [m].
        mode: control mode as in frame 0x2A1.
        move_mode: move mode as in frame 0x2A1.
        speed_fraction: of the top speed, set with the mode.
        enabled: whether the motors hold.
        faults: names out of FAULTS.
    """

    joints: list[Joint] = field(
        default_factory=lambda: [Joint(low, high, at, at) for (low, high), at in zip(RANGES_RAD, HOME_RAD)]
    )
    gripper: Joint = field(default_factory=lambda: Joint(0.0, 0.07, 0.0, 0.0))
    mode: int = STANDBY
    move_mode: int = 0
    speed_fraction: float = 0.0
    enabled: bool = False
    gripper_enabled: bool = False
    faults: set[str] = field(default_factory=set)

    def fail(self, fault: str) -> None:
        """Lets `fault` happen from now on, or with HEAL none any more."""
        if fault == HEAL:
            self.faults.clear()
            return
        self.faults.add(fault)
        if fault == "switch-off":
            self.enabled = self.gripper_enabled = False
        if fault == "teach":
            self.mode = TEACHING

    def enable(self, on: bool) -> None:
        """Motors on, holding where they are; or off."""
        if on and not self.enabled:
            for joint in self.joints:
                joint.target, joint.speed = joint.position, 0.0
        self.enabled = self.gripper_enabled = on and "switch-off" not in self.faults

    def set_mode(self, mode: int, move_mode: int, percent: int) -> None:
        """Obeyed unless the arm's button has put it into teaching."""
        if "teach" not in self.faults:
            self.mode, self.move_mode, self.speed_fraction = mode, move_mode, min(percent, 100) / 100.0

    def reset(self) -> None:
        """Clears the emergency stop, as the real arm does: the motors lose power."""
        self.faults.discard("estop")
        self.enabled, self.mode = False, STANDBY

    def target(self, first: int, values: tuple[float, float]) -> None:
        """New targets [rad] of joints `first` and the next (counted from 0); only in joint mode over CAN."""
        if self.mode == CAN_CONTROL and self.move_mode == 0x01 and "estop" not in self.faults:
            for joint, value in zip(self.joints[first : first + 2], values):
                joint.target = value

    def target_gripper(self, aperture_m: float, enable: bool) -> None:
        """New aperture [m]."""
        self.gripper_enabled = enable
        self.gripper.target = aperture_m

    def step(self, dt: float) -> None:
        """Moves everything for `dt` [s]."""
        if self.enabled and not self.faults & {"estop", "jam"}:
            for joint in self.joints:
                joint.step(dt, self.speed_fraction * TOP_SPEED_RADPS, ACCELERATION_RADPS2 * 2)
        if self.gripper_enabled and "estop" not in self.faults:
            self.gripper.step(dt, GRIPPER_SPEED_MPS, 2.0)
