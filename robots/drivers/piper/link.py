"""Connection to a Piper: converts commands and feedback between SI and the SDK's units."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from robots.drivers.piper.can import Watch, close_sdk, open_sdk
from robots.embodiments.piper import GRIPPER_EFFORT_NM, JOINTS, PIPER
from robots.embodiments.piper_urdf import ARM
from robots.limits import GRIPPER_JOINT
from robots.plausibility import Plausibility, of_joints

# CAN identifiers of feedback: piper_sdk piper_msgs/msg_v2/can_id.py.
JOINT_FRAMES = (0x2A5, 0x2A6, 0x2A7)
STATUS_FRAME, GRIPPER_FRAME = 0x2A1, 0x2A8
MOTOR_FRAMES = (0x261, 0x262, 0x263, 0x264, 0x265, 0x266)
FRAME_JOINTS = dict(zip((*JOINT_FRAMES, GRIPPER_FRAME), (ARM[:2], ARM[2:4], ARM[4:], (GRIPPER_JOINT,))))
"""Identifier of a feedback frame -> the joints in it."""

ELSEWHERE_RAD = math.pi
"""Distance beyond a range at which an arm may have been left; `PiperRobot.connect` asks to move it back by hand."""

POSSIBLE = {
    name: replace(bounds, low=bounds.low - ELSEWHERE_RAD, high=bounds.high + ELSEWHERE_RAD)
    for name, bounds in of_joints(PIPER).items()
}

ALL_FRAMES = (*JOINT_FRAMES, STATUS_FRAME, GRIPPER_FRAME, *MOTOR_FRAMES)

MOTORS_STALE_S = 1.0
"""Age limit of motor states, which come less often than joint angles."""

CAN_CONTROL, MOVE_J = 0x01, 0x01  # ctrl_mode and mode_feed of frame 0x2A1
EMERGENCY, RESUME = 0x01, 0x02  # first byte of frame 0x150

MILLIDEGREES = 1000.0 * 180.0 / math.pi

ARM_STATUS = {  # piper_sdk ArmMsgFeedbackStatusEnum.ArmStatus -> how a fault begins
    0x01: "e-stop: the arm's emergency stop is latched",
    0x05: "joint communication: a joint does not answer",
    0x06: "brake: a joint's brake is not released",
    0x07: "collision: the arm touched something",
    0x09: "joint status: a joint reports an error",
    0x0E: "overheated: the main controller is too hot",
    0x0F: "overheated: the release resistor is too hot",
}
MOTOR_FAULTS = {
    "voltage_too_low": "battery low: its supply voltage is too low",
    "motor_overheating": "overheated: its motor is too hot",
    "driver_overheating": "overheated: its driver is too hot",
    "driver_overcurrent": "overcurrent: its driver draws too much",
    "collision_status": "collision: it met a resistance",
    "stall_status": "stalled: it cannot turn",
}


@dataclass(frozen=True)
class Motor:
    """State of a joint's motor driver."""

    enabled: bool
    voltage_v: float
    temperature_c: float
    fault: str


class PiperLink:
    """Open connection to one arm.

    Args:
        channel: CAN interface, e.g. "can0"; a multicast group for "udp_multicast".
        interface: python-can's name of the kind of bus.
        stale_after_s: age limit of joint angles.
    """

    def __init__(self, channel: str, interface: str, stale_after_s: float) -> None:
        self._stale_s = stale_after_s
        self._accepted: dict[str, float] = {}
        self._plausible = Plausibility(POSSIBLE, "; is a second arm, or a fake, on this bus?")
        self._sdk: Any = None
        self._watch = Watch(self._take)
        self._opened_ns = time.monotonic_ns()
        self._sdk = open_sdk(channel, interface, self._watch)
        self._sending = threading.Lock()  # the SDK reuses one message object for every frame

    def close(self) -> None:
        """Ends the connection; the arm stays as it is."""
        close_sdk(self._sdk)

    @property
    def complete(self) -> bool:
        """True once every kind of feedback was received on this connection."""
        return self._watch.last_ns(ALL_FRAMES) >= 0 and len(self._accepted) == len(JOINTS)

    @property
    def stamp_ns(self) -> int:
        """Monotonic time of the oldest frame among joint angles and aperture."""
        return self._watch.last_ns((*JOINT_FRAMES, GRIPPER_FRAME))

    def positions(self) -> list[float]:
        """Joints 1 to 6 [rad] and the aperture [m], as last received and accepted as plausible."""
        return [self._accepted.get(name, 0.0) for name in JOINTS]

    @property
    def implausible(self) -> str:
        """Fault of implausible feedback; empty when it is plausible."""
        return self._plausible.fault

    def _take(self, identifier: int, at_ns: int) -> None:
        """Takes a received frame, which holds some of the joints."""
        if identifier in FRAME_JOINTS and self._sdk is not None:
            measured = {
                name: value for name, value in zip(JOINTS, self._measured()) if name in FRAME_JOINTS[identifier]
            }
            if self._plausible.take(measured, at_ns / 1e9):
                self._accepted.update(measured)

    def _measured(self) -> list[float]:
        state = self._sdk.GetArmJointMsgs().joint_state
        joints = [getattr(state, f"joint_{number}") / MILLIDEGREES for number in range(1, 7)]
        return [*joints, self._sdk.GetArmGripperMsgs().gripper_state.grippers_angle * 1e-6]

    def motors(self) -> list[Motor]:
        """States of the six motor drivers."""
        infos = self._sdk.GetArmLowSpdInfoMsgs()
        return [_motor(getattr(infos, f"motor_{number}")) for number in range(1, 7)]

    def estop(self) -> bool:
        """True while the arm's own emergency stop is latched."""
        return int(self._sdk.GetArmStatus().arm_status.arm_status) == EMERGENCY

    def enabled(self) -> bool:
        """True when all six motors are enabled."""
        return all(motor.enabled for motor in self.motors())

    def in_control(self) -> bool:
        """True when the arm accepts joint targets over CAN."""
        status = self._sdk.GetArmStatus().arm_status
        return int(status.ctrl_mode) == CAN_CONTROL and int(status.mode_feed) == MOVE_J

    def lost(self) -> str:
        """Fault of the connection: "bus-off: ..." or "feedback stale: ..."; empty when feedback is valid."""
        if self._watch.fault:
            return self._watch.fault
        now = time.monotonic_ns()
        groups = {
            "joint angles": (JOINT_FRAMES, self._stale_s),
            "gripper readings": ((GRIPPER_FRAME,), self._stale_s),
            "arm status": ((STATUS_FRAME,), self._stale_s),
            "motor states": (MOTOR_FRAMES, MOTORS_STALE_S),
        }
        for what, (frames, max_age_s) in groups.items():
            age_s = (now - max(self._watch.last_ns(frames), self._opened_ns)) / 1e9
            if age_s > max_age_s:
                return f"feedback stale: {what} are {age_s:.2f} s old, expected at most {max_age_s} s"
        return self.implausible

    def fault(self) -> str:
        """Fault that the arm reports; empty when there is none."""
        status = self._sdk.GetArmStatus().arm_status
        if int(status.arm_status) in ARM_STATUS:
            return ARM_STATUS[int(status.arm_status)]
        for number, motor in enumerate(self.motors(), start=1):
            if motor.fault:
                return f"{motor.fault} (joint{number})"
            if not motor.enabled:
                return f"switched off: the motor of joint{number} does not hold"
        if not self.in_control():
            mode, move = int(status.ctrl_mode), int(status.mode_feed)
            return f"not in control: the arm is in control mode {mode} and move mode {move}, expected 1 and 1"
        return ""

    def send_joints(self, joints: Iterable[float]) -> None:
        """Sends targets of joints 1 to 6 [rad]."""
        with self._sending:
            self._sdk.JointCtrl(*(round(joint * MILLIDEGREES) for joint in joints))

    def send_gripper(self, aperture_m: float) -> None:
        """Sends the target aperture of the gripper."""
        with self._sending:
            self._sdk.GripperCtrl(round(aperture_m * 1e6), round(GRIPPER_EFFORT_NM * 1000), 0x01, 0)

    def send_mode(self, percent: int) -> None:
        """Requests control by joint targets over CAN, at most at a percentage of the top speed."""
        with self._sending:
            self._sdk.ModeCtrl(CAN_CONTROL, MOVE_J, percent, 0x00)

    def enable(self) -> bool:
        """Enables the motors; True when they were enabled already."""
        with self._sending:
            return bool(self._sdk.EnablePiper())

    def disable(self) -> None:
        """Disables the motors: the arm falls."""
        with self._sending:
            self._sdk.DisablePiper()

    def emergency_stop(self) -> None:
        """Latches the arm's own emergency stop."""
        with self._sending:
            self._sdk.EmergencyStop(EMERGENCY)

    def reset(self) -> None:
        """Clears the emergency stop. THE ARM LOSES POWER AND SINKS: to the arm this is the SDK's ResetPiper."""
        with self._sending:
            self._sdk.EmergencyStop(RESUME)


def _motor(info: Any) -> Motor:
    status = info.foc_status
    fault = next((text for name, text in MOTOR_FAULTS.items() if getattr(status, name)), "")
    hot = float(max(info.foc_temp, info.motor_temp))
    return Motor(bool(status.driver_enable_status), info.vol * 0.1, hot, fault)
