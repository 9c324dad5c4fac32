"""Feedback of a Stretch: polled by two threads, one for the boards and one for the servos.

The SDK writes a new time of its own (`timestamp_pc`) even without a reply. Here a board counts as received when its
own clock has advanced, and a servo bus when no communication error was counted in the meantime.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from robots.drivers.stretch import ports
from robots.drivers.stretch.sdk import servos
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.plausibility import BEYOND, CLEAR_S, HEADROOM, Plausibility, Possible, of_base, of_joints, unwrapped

BOARDS_PERIOD_S, SERVOS_PERIOD_S = 1 / 25, 1 / 15
"""The SDK's own rates (robot_params_RE1V0.py robot.rates)."""

ANY_CHANGE = 1e9
"""Bound of the change of a speed per second: a blow stops a joint at once."""

RETRY_S = 1.0
"""Retry period of a lost device, whose line is opened again each time; the SDK logs an error each time."""

SERVO_JOINTS = {
    "joint_wrist_yaw": "wrist_yaw",
    "joint_head_pan": "head_pan",
    "joint_head_tilt": "head_tilt",
    "gripper_aperture": "stretch_gripper",
}


@dataclass(frozen=True)
class Measured:
    """One joint: position and velocity [m, m/s] or [rad, rad/s], effort [% of the maximum], and its board's flags.

    Attributes:
        busy: its board has not finished the motion.
        contacts: number of guarded contacts that its board has counted.
    """

    position: float
    velocity: float
    effort_pct: float
    busy: bool = False
    contacts: int = 0


@dataclass(frozen=True)
class _Boards:
    at_ns: int
    lift: Measured
    arm: Measured
    wheels: tuple[Measured, Measured]
    pose: tuple[float, float, float]
    voltage_v: float
    runstop: bool


@dataclass(frozen=True)
class _Servos:
    at_ns: int
    joints: dict[str, Measured]


@dataclass(frozen=True)
class Status:
    """Everything measured and believed, at one moment.

    Attributes:
        boards_ns: when the last complete reading of the boards began, on the monotonic clock.
        servos_ns: the same for the servos.
        joints: by the embodiment's names.
        wheels: left and right; positions [m] rolled.
        pose: base (x [m], y [m], yaw [rad]) by odometry.
    """

    boards_ns: int
    servos_ns: int
    joints: dict[str, Measured]
    wheels: tuple[Measured, Measured]
    pose: tuple[float, float, float]
    voltage_v: float
    runstop: bool

    @property
    def stamp_ns(self) -> int:
        """Time of its oldest measurement."""
        return min(self.boards_ns, self.servos_ns)

    @property
    def newest_ns(self) -> int:
        """Time of its newest measurement."""
        return max(self.boards_ns, self.servos_ns)

    @property
    def positions(self) -> dict[str, float]:
        """Joint -> position."""
        return {name: joint.position for name, joint in self.joints.items()}


class Reader:
    """Polls a started SDK robot until `close`, and steps its sentries, which protect the servos.

    A reading with an implausible value of a joint or of the wheels is rejected as a whole. The line of a device that
    has been silent is opened again; its readings are a fault until they have been plausible for `CLEAR_S`.

    Args:
        robot: the SDK's.
        stale_s: longest silence of a device.
        on_back: called, in a thread of its own, once a device that had been silent answers: it missed every stop.
    """

    def __init__(self, robot: Any, stale_s: float, on_back: Callable[[], None] = lambda: None) -> None:
        self._robot, self._stale_s, self._on_back = robot, stale_s, on_back
        self._news = threading.Condition()
        now = time.monotonic_ns()
        self._boards, self._servos = self._boards_at(now), self._servos_at(now)
        self._answered_ns = {"boards": now, "servos": now}
        self._back_ns: dict[str, int] = {}
        axes, servo_joints = _possible(servos(robot))
        self._plausible = {"boards": Plausibility(axes), "servos": Plausibility(servo_joints)}
        self._turned, self._asked = 0.0, {"boards": "", "servos": ""}
        self._clocks: dict[str, float] = {}
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, args=("boards", self._read_boards, BOARDS_PERIOD_S), daemon=True),
            threading.Thread(target=self._loop, args=("servos", self._read_servos, SERVOS_PERIOD_S), daemon=True),
        ]

    def start(self) -> None:
        """Starts polling."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the threads; a thread that waits for a dead device ends at its next timeout."""
        self._ended.set()
        for thread in self._threads:
            thread.join(3.0)

    @property
    def fault(self) -> str:
        """Fault of a silent device or an implausible reading; empty when there is none. Does not block."""
        return self.silence or next((check.fault for check in self._plausible.values() if check.fault), "")

    @property
    def silence(self) -> str:
        """Fault of a silent device, also for a while after it is back; empty when all answer. Does not block."""
        now = time.monotonic_ns()
        for group, answered_ns in self._answered_ns.items():
            age_s, name = (now - answered_ns) / 1e9, self._asked[group] or group
            if age_s > self._stale_s:
                return f"feedback stale: {name} silent for {age_s:.2f} s; is the robot switched on?"
            back_s = (now - self._back_ns[group]) / 1e9 if group in self._back_ns else CLEAR_S
            if back_s < CLEAR_S:
                return f"feedback stale: the {group} came back {back_s:.2f} s ago, expected {CLEAR_S} s"
        return ""

    def wait(self, after_ns: int, limit_s: float) -> bool:
        """Waits for a complete reading newer than `after_ns`; False at the timeout."""
        with self._news:
            return self._news.wait_for(lambda: min(self._boards.at_ns, self._servos.at_ns) > after_ns, limit_s)

    def status(self) -> Status:
        """Last reading. Does not block."""
        boards, servos = self._boards, self._servos
        return Status(
            boards_ns=boards.at_ns,
            servos_ns=servos.at_ns,
            joints={"joint_lift": boards.lift, "joint_arm": boards.arm, **servos.joints},
            wheels=boards.wheels,
            pose=boards.pose,
            voltage_v=boards.voltage_v,
            runstop=boards.runstop,
        )

    def _boards_at(self, at_ns: int) -> _Boards:
        robot = self._robot
        base, pimu = robot.base.status, robot.pimu.status
        return _Boards(
            at_ns,
            lift=_prismatic(robot.lift),
            arm=_prismatic(robot.arm),
            wheels=(self._wheel(robot.base.left_wheel), self._wheel(robot.base.right_wheel)),
            pose=(float(base["x"]), float(base["y"]), unwrapped(float(base["theta"]), 0.0)),
            voltage_v=float(pimu["voltage"]),
            runstop=bool(pimu["runstop_event"]),
        )

    def _servos_at(self, at_ns: int) -> _Servos:
        found, joints = servos(self._robot), {}
        for joint, name in SERVO_JOINTS.items():
            status = found[name].status
            position, velocity = status["pos"], status["vel"]
            if joint == "gripper_aperture":
                position = max(0.0, status["gripper_conversion"]["aperture_m"])  # squeezed: below 0
                velocity = status["vel"] * aperture_per_rad(found[name])
            joints[joint] = Measured(float(position), float(velocity), float(status["effort"]))
        return _Servos(at_ns, joints)

    def _wheel(self, motor: Any) -> Measured:
        status, metres = motor.status, self._robot.base.meters_per_motor_rad
        return Measured(
            metres * status["pos"],
            metres * status["vel"],
            float(status["effort_pct"]),
            _busy(status),
            _contacts(status),
        )

    def _loop(self, group: str, read: Callable[[int], bool], period_s: float) -> None:
        while not self._ended.is_set():
            began_ns = time.monotonic_ns()
            try:
                if read(began_ns):
                    self._note_answer(group, began_ns)
            except (Exception, SystemExit) as error:  # a lost reply shows as an IndexError, a lost port as any other
                logging.getLogger(__name__).debug("%s: %s: %s", self._asked[group], type(error).__name__, error)
                if group == "boards":
                    ports.flush(self._robot)
            lost = began_ns - self._answered_ns[group] > self._stale_s * 1e9
            if lost and not self._ended.is_set():
                ports.reopen(self._robot, self._asked[group])
            self._ended.wait(RETRY_S if lost else period_s - (time.monotonic_ns() - began_ns) / 1e9)

    def _note_answer(self, group: str, at_ns: int) -> None:
        if at_ns - self._answered_ns[group] > self._stale_s * 1e9:
            self._back_ns[group] = time.monotonic_ns()
            threading.Thread(target=self._on_back, name="device back", daemon=True).start()
        self._answered_ns[group] = at_ns

    def _read_boards(self, began_ns: int) -> bool:
        robot = self._robot
        boards = {
            "hello-pimu": (robot.pimu, robot.pimu.status),
            "hello-motor-lift": (robot.lift, robot.lift.motor.status),
            "hello-motor-arm": (robot.arm, robot.arm.motor.status),
            "hello-motor-left-wheel": (robot.base, robot.base.left_wheel.status),
            "hello-motor-right-wheel": (None, robot.base.right_wheel.status),
        }
        for name, (board, status) in boards.items():
            self._asked["boards"] = name
            if board is not None:
                board.pull_status()
            if status["timestamp"] == self._clocks.get(name):
                return False
            self._clocks[name] = status["timestamp"]
        for part in (robot.base, robot.arm, robot.lift):
            part.step_sentry(robot)
        self._take_boards(self._boards_at(began_ns))
        return True

    def _read_servos(self, began_ns: int) -> bool:
        for name, chain in (
            ("hello-dynamixel-head", self._robot.head),
            ("hello-dynamixel-wrist", self._robot.end_of_arm),
        ):
            self._asked["servos"] = name
            errors = chain.comm_errors.status["n_rx"]
            chain.pull_status()
            if not chain.hw_valid or chain.comm_errors.status["n_rx"] != errors or not ports.whole(chain):
                ports.flush_chain(chain)
                return False
            chain.step_sentry(self._robot)
        self._take_servos(self._servos_at(began_ns))
        return True

    def _take_boards(self, reading: _Boards) -> None:
        x, y, yaw = reading.pose
        turned = unwrapped(yaw, self._turned)
        axes = {"joint_lift": reading.lift.position, "joint_arm": reading.arm.position}
        if self._is_plausible("boards", {**axes, "x": x, "y": y, "yaw": turned}, reading.at_ns):
            self._turned = turned
            with self._news:
                self._boards = reading
                self._news.notify_all()
        elif reading.runstop != self._boards.runstop:
            self._boards = replace(self._boards, runstop=reading.runstop)

    def _take_servos(self, reading: _Servos) -> None:
        values = {name: joint.position for name, joint in reading.joints.items()}
        speeds = {_speed_of(name): joint.velocity for name, joint in reading.joints.items()}
        if self._is_plausible("servos", {**values, **speeds}, reading.at_ns):
            with self._news:
                self._servos = reading
                self._news.notify_all()

    def _is_plausible(self, group: str, values: dict[str, float], began_ns: int) -> bool:
        return self._plausible[group].take(values, time.monotonic(), asked_s=began_ns / 1e9)


def _possible(found: Mapping[str, Any]) -> tuple[dict[str, Possible], dict[str, Possible]]:
    """Bounds of what the boards and the servos can report, by joint; of a servo also its speed."""
    joints, base = of_joints(STRETCH_RE1), STRETCH_RE1.base
    assert base is not None  # an RE1 has one
    boards = {**{name: joints[name] for name in ("joint_lift", "joint_arm")}, **of_base(base)}
    turning = {joint: joints[joint] for joint in SERVO_JOINTS}
    for joint, name in SERVO_JOINTS.items():
        can = turning[joint]
        fastest = HEADROOM * can.max_speed + can.margin / SERVOS_PERIOD_S
        turning[_speed_of(joint)] = Possible(-fastest, fastest, ANY_CHANGE, 0.0, f"{can.unit}/s")
        if can.unit == "rad":  # by hand, and by other programs, it can be turned beyond the robot's range
            low, high = found[name].soft_motion_limits["hard"]
            low, high = min(can.low, low - BEYOND["rad"]), max(can.high, high + BEYOND["rad"])
            turning[joint] = replace(can, low=low, high=high)
    return boards, turning


def _speed_of(joint: str) -> str:
    return f"the speed of {joint}"


def aperture_per_rad(gripper: Any) -> float:
    """Metres between the fingertips per radian of the gripper's servo."""
    pct_per_rad = gripper.world_rad_to_pct(1.0) - gripper.world_rad_to_pct(0.0)
    return float(gripper.gripper_conversion.robotis_to_aperture_slope * pct_per_rad)


def servo_fault(robot: Any) -> str:
    """A servo that switched itself off; empty when none did."""
    for name, servo in servos(robot).items():
        for error in ("overload_error", "overheating_error", "electrical_shock_error", "motor_encoder_error"):
            if servo.status[error]:
                return f"servo error: {name}: {error}; reboot it with stretch_robot_dynamixel_reboot.py"
    return ""


def _prismatic(joint: Any) -> Measured:
    status, motor = joint.status, joint.motor.status
    return Measured(
        float(status["pos"]), float(status["vel"]), float(motor["effort_pct"]), _busy(motor), _contacts(motor)
    )


def _busy(motor: Any) -> bool:
    return bool(motor["is_mg_moving"] or motor["waiting_on_sync"])


def _contacts(motor: Any) -> int:
    return int(motor["guarded_event"])
