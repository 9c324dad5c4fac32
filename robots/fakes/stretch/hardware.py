"""Hardware of a fake Stretch RE1: boards, servos, and obstacles.

Source [params]: hello-robot-stretch-body 0.7.31 robot_params_RE1V0.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robots.fakes.stretch.axis import Axis
from robots.fakes.stretch.boards import Pimu, Stepper, Wacc
from robots.fakes.stretch.calibration_files import ARM_RANGE_M, LIFT_RANGE_M, SERVO_RANGES, WHEEL_SEPARATION_M
from robots.fakes.stretch.dynamixel import Servo, ServoBus
from robots.fakes.stretch.serial_frames import BoardLink

# Metres per radian of the motor [params]: chain pitch, sprocket and spur gear; belt and pinion; wheel and gear.
ARM_M = 0.0167 * 10 / 3.875 / (2 * math.pi)
LIFT_M = 12 * 0.005 / (2 * math.pi)
WHEEL_M = 0.1016 / 2 / 3.4
APERTURE_M_PER_PCT = 0.09 / 70  # gripper_conversion
SERVOS = {"head_pan": (11, -1.0), "head_tilt": (12, -1.0), "wrist_yaw": (13, -2.4), "stretch_gripper": (14, 1.0)}
"""Number on the bus, and ratio of the gears with the sense of the encoder."""


CONTROLS = (
    "state, runstop on|off, contact JOINT=PLACE, clear, voltage V, silent on|off, freeze_camera on|off, overload SERVO,"
    " misread lift|arm|base=METRES, lag head|wrist=REQUESTS, unplug DEVICE, plug DEVICE,"
    " by_hand SERVO=PLACE"
)
"""Lines that the control socket takes."""


@dataclass(frozen=True)
class FakeStretchOptions:
    """Options and faults of the fake; every fault is off.

    Attributes:
        latency_s: every answer is this late.
        voltage_v: of the battery.
        homed: whether lift, arm, wrist and gripper know their zero.
        runstop: it starts with the runstop pressed.
        contact: an obstacle, as "lift=0.5" [m], "arm=0.2" [m], "wrist_yaw=1.0" [rad], "base=0.3" [m driven ahead] or
            "gripper=0.03" [m between the fingertips: something to grasp]; several separated by commas.
        silent_after_s: it stops answering after that; negative never.
        freeze_camera_after_s: its images stay the same after that; negative never.
        lift_m: where it starts.
        arm_m: where it starts.
        wrist_yaw_rad: where it starts.
    """

    latency_s: float = 0.0
    voltage_v: float = 12.4
    homed: bool = True
    runstop: bool = False
    contact: str = ""
    silent_after_s: float = -1.0
    freeze_camera_after_s: float = -1.0
    lift_m: float = 0.2
    arm_m: float = 0.1
    wrist_yaw_rad: float = 0.0


def ticks(joint: str, value: float) -> float:
    """Ticks of the servo of `joint` at `value`: [rad], or [m] of aperture for the gripper."""
    zero, ratio = SERVO_RANGES[joint][2], SERVOS[joint][1]
    if joint == "stretch_gripper":
        return zero * (value / APERTURE_M_PER_PCT / 100.0 + 1.0)
    return zero + value * ratio * 4096 / (2 * math.pi)


def value(joint: str, position: float) -> float:
    """Inverse of `ticks`."""
    zero, ratio = SERVO_RANGES[joint][2], SERVOS[joint][1]
    if joint == "stretch_gripper":
        return (position / zero - 1.0) * 100.0 * APERTURE_M_PER_PCT
    return (position - zero) / ratio * 2 * math.pi / 4096


class FakeStretch:
    """The hardware; `devices` are its serial lines, from bytes to bytes, by the names they have in /dev on a robot."""

    def __init__(self, options: FakeStretchOptions) -> None:
        self.options = options
        self._steppers = {
            "lift": self._joint(options.lift_m, LIFT_RANGE_M, LIFT_M),
            "arm": self._joint(options.arm_m, ARM_RANGE_M, ARM_M),
            "left": Stepper(Axis(0.0, -1e9, 1e9), 2.8, True),
            "right": Stepper(Axis(0.0, -1e9, 1e9), 2.8, True),
        }
        starts = {"head_pan": 0.0, "head_tilt": 0.0, "wrist_yaw": options.wrist_yaw_rad, "stretch_gripper": 0.04}
        self._servos = {name: self._servo(name, start) for name, start in starts.items()}
        self.pimu = Pimu(options.voltage_v, self._sync)
        self.pimu.runstop = options.runstop
        self.camera_frozen = self.silent = False
        self.unplugged: set[str] = set()
        for item in filter(None, options.contact.split(",")):
            joint, _, place = item.partition("=")
            self.obstruct(joint.strip(), float(place))
        self.devices = self._lines()

    def _joint(self, start_m: float, range_m: tuple[float, float], metres: float) -> Stepper:
        axis = Axis(start_m / metres, range_m[0] / metres, range_m[1] / metres)
        return Stepper(axis, 3.2, self.options.homed)

    def _servo(self, name: str, start: float) -> Servo:
        low, high, _ = SERVO_RANGES[name]
        homed = self.options.homed or name.startswith("head")  # the head counts absolutely
        return Servo(SERVOS[name][0], Axis(ticks(name, start), low, high), homed)

    def _lines(self) -> dict[str, Callable[[bytes], bytes]]:
        boards: dict[str, Stepper | Pimu | Wacc] = {
            "hello-motor-lift": self._steppers["lift"],
            "hello-motor-arm": self._steppers["arm"],
            "hello-motor-left-wheel": self._steppers["left"],
            "hello-motor-right-wheel": self._steppers["right"],
            "hello-pimu": self.pimu,
            "hello-wacc": Wacc(),
        }
        head = ServoBus([self._servos["head_pan"], self._servos["head_tilt"]])
        wrist = ServoBus([self._servos["wrist_yaw"], self._servos["stretch_gripper"]])
        self._buses = {"head": head, "wrist": wrist}
        lines: dict[str, Callable[[bytes], bytes]] = {n: BoardLink(board.answer).feed for n, board in boards.items()}
        return {**lines, "hello-dynamixel-head": head.feed, "hello-dynamixel-wrist": wrist.feed}

    def obstruct(self, joint: str, place: float) -> None:
        """Places an obstacle for `joint`; ValueError for a joint that cannot have one."""
        if joint == "base":
            for side in ("left", "right"):
                axis = self._steppers[side].axis
                axis.obstruct(axis.position + place / WHEEL_M)
        elif joint in ("lift", "arm"):
            self._steppers[joint].axis.obstruct(place / (LIFT_M if joint == "lift" else ARM_M))
        elif joint in ("wrist_yaw", "gripper"):
            name = "stretch_gripper" if joint == "gripper" else joint
            self._servos[name].axis.obstruct(ticks(name, place))
        else:
            raise ValueError(f"contact: got {joint!r}, expected lift, arm, wrist_yaw, base or gripper")

    def clear(self) -> None:
        """Takes all obstacles away."""
        for axis in self._axes():
            axis.clear()

    def misread(self, joint: str, metres: float) -> None:
        """Offsets the reported position of `joint` from now on; ValueError for one that cannot be misread."""
        parts = {"lift": ("lift",), "arm": ("arm",), "base": ("left", "right")}
        if joint not in parts:
            raise ValueError(f"misread: got {joint!r}, expected lift, arm or base")
        for name in parts[joint]:
            self._steppers[name].misread = metres / {"lift": LIFT_M, "arm": ARM_M}.get(name, WHEEL_M)

    def _plug(self, device: str, into: bool) -> None:
        """Puts a serial device's cable in, or takes it out; the process follows `unplugged`."""
        if device not in self.devices:
            raise ValueError(f"device: got {device!r}, expected one of {', '.join(self.devices)}")
        self.unplugged = self.unplugged - {device} if into else self.unplugged | {device}

    def step(self, seconds: float) -> None:
        """Lets time pass."""
        self.pimu.step()
        for stepper in self._steppers.values():
            stepper.runstop = self.pimu.runstop
            stepper.step(seconds)
        for servo in self._servos.values():
            servo.step(seconds)

    def _axes(self) -> list[Axis]:
        return [motor.axis for motor in self._steppers.values()] + [motor.axis for motor in self._servos.values()]

    def _sync(self) -> None:
        for stepper in self._steppers.values():
            stepper.sync()

    def state(self) -> dict[str, Any]:
        """Ground truth: positions [m] or [rad]; `travelled_m` and `turned_rad` of the base since the start."""
        left, right = (self._steppers[side].axis.position * WHEEL_M for side in ("left", "right"))
        speeds = [self._steppers[side].axis.velocity * WHEEL_M for side in ("left", "right")]
        return {
            "lift": self._steppers["lift"].axis.position * LIFT_M,
            "arm": self._steppers["arm"].axis.position * ARM_M,
            **{name: value(name, servo.axis.position) for name, servo in self._servos.items()},
            "travelled_m": (left + right) / 2,
            "turned_rad": (right - left) / WHEEL_SEPARATION_M,
            "speed_mps": sum(speeds) / 2,
            "moving": any(axis.velocity != 0.0 for axis in self._axes()),
            "homed": all(self._steppers[name].homed for name in ("lift", "arm")),
            "runstop": self.pimu.runstop,
            "camera_frozen": self.camera_frozen,
        }

    def tell(self, line: str) -> str:
        """Executes a line of the control socket; returns JSON: the state, or {"error": ...}."""
        word, _, rest = line.strip().partition(" ")
        try:
            self._do(word, rest)
        except (KeyError, ValueError) as error:
            return json.dumps({"error": str(error)})
        return json.dumps(self.state())

    def _do(self, word: str, rest: str) -> None:
        if word == "runstop":
            self.pimu.runstop = rest == "on"
        elif word == "contact":
            joint, _, place = rest.partition("=")
            self.obstruct(joint, float(place))
        elif word == "misread":
            joint, _, metres = rest.partition("=")
            self.misread(joint, float(metres))
        elif word == "lag":
            bus, _, requests = rest.partition("=")
            self._buses[bus].lag = int(requests)
        elif word == "by_hand":
            joint, _, place = rest.partition("=")
            self._servos[joint].axis.put(ticks(joint, float(place)))
        elif word in ("unplug", "plug"):
            self._plug(rest, word == "plug")
        elif word == "clear":
            self.clear()
        elif word == "voltage":
            self.pimu.voltage_v = float(rest)
        elif word == "silent":
            self.silent = rest == "on"
        elif word == "freeze_camera":
            self.camera_frozen = rest == "on"
        elif word == "overload":
            self._servos[rest].error = 32
        elif word != "state":
            raise ValueError(f"control: got {word!r}, expected one of: {CONTROLS}")
