"""Motions of a Stretch through the SDK; waits until they have ended, by measurement.

Base, lift and arm act on `push_command()`, head, wrist and gripper at once. The SDK drops a pushed command that follows
the one before too closely (runstop and sync of the RE1 use one line: 20 Hz), so pushes keep their distance.
`wait_command()` is not used: it reads flags from before the motion, and ignores contacts and the runstop.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from robots.drivers.stretch.base_speed_limit import BaseSpeedLimit
from robots.drivers.stretch.ports import flush, transport_errors
from robots.drivers.stretch.sdk import servos
from robots.drivers.stretch.status import SERVO_JOINTS, Measured, Reader, Status, aperture_per_rad
from robots.embodiment import BaseLimits, Embodiment
from robots.errors import RobotError

PUSH_PERIOD_S = 0.05
SETTLE_S = 0.4
"""A motion that has ended short of its target has this long to creep up to it."""

AT_REST = {"joint_lift": 0.003, "joint_arm": 0.003, "gripper_aperture": 0.004}
"""Speeds [m/s] below which a joint is at rest; AT_REST_RADPS for the others. Estimates above the encoders' noise."""

AT_REST_RADPS, AT_REST_MPS = 0.03, 0.003

ARRIVED = {"joint_lift": 0.005, "joint_arm": 0.005, "gripper_aperture": 0.005}
"""Tolerance at the target [m], ARRIVED_RAD for the others [FLaRe environment/stretch_controller.py]."""

ARRIVED_RAD = math.radians(2.0)
BASE_ARRIVED_M, BASE_ARRIVED_RAD = 0.01, math.radians(1.5)  # [FLaRe] the same file
CONTACT_READINGS = 3
"""A wheel with too much effort in this many readings (0.1 s) is in contact; a start takes fewer."""


@dataclass(frozen=True)
class MotionOptions:
    """Thresholds and time limits; see `robots.drivers.stretch.driver.StretchOptions`."""

    contact_pct: float
    base_contact_pct: float
    spare_s: float
    speed: float


class Motion:
    """Moves a started SDK robot.

    Args:
        robot: the SDK's.
        reader: reads it.
        spec: speeds come from here.
        options: thresholds.
        fault: returns why nothing may move now (runstop, lost device), or "".
    """

    def __init__(
        self, robot: Any, reader: Reader, spec: Embodiment, options: MotionOptions, fault: Callable[[], str]
    ) -> None:
        self._robot, self._reader, self._spec, self._options, self._fault = robot, reader, spec, options, fault
        self._wire = threading.RLock()
        self._pushed_s, self._velocity_mode = 0.0, False
        self._goals: dict[str, float] = {}
        self._speed_limit, self._speed = BaseSpeedLimit().scaled(options.speed), options.speed
        self.stopping = threading.Event()

    @property
    def _base(self) -> BaseLimits:
        assert self._spec.base is not None  # a Stretch has one
        return self._spec.base

    def drive(self, distance_m: float) -> str:
        """Drives straight; returns why it did not arrive, or ""."""
        status, base = self._reader.status(), self._robot.base
        speed = self._speed_limit.wheel_speed(self._base, status.positions)
        self._position_mode()
        acceleration, contact = self._base_acceleration(status), self._options.base_contact_pct
        self._send(lambda: base.translate_by(distance_m, v_m=speed, a_m=acceleration, contact_thresh=contact))
        limit_s = self._limit_s(distance_m, speed, acceleration)
        return self._await_base(status, limit_s, lambda now: distance_m - _along(status.pose, now.pose), BASE_ARRIVED_M)

    def turn(self, angle_rad: float) -> str:
        """Turns in place; returns why it did not arrive, or ""."""
        status, base = self._reader.status(), self._robot.base
        speed = self._speed_limit.turn_speed(self._base, status.positions)
        self._position_mode()
        acceleration = base.translation_to_rotation(self._base_acceleration(status))
        contact = self._options.base_contact_pct
        self._send(lambda: base.rotate_by(angle_rad, v_r=speed, a_r=acceleration, contact_thresh=contact))
        limit_s = self._limit_s(angle_rad, speed, acceleration)

        def left(now: Status) -> float:
            return math.remainder(angle_rad - (now.pose[2] - status.pose[2]), 2 * math.pi)

        return self._await_base(status, limit_s, left, BASE_ARRIVED_RAD)

    def _base_acceleration(self, status: Status) -> float:
        """Acceleration of a wheel [m/s^2]: the SDK's default, scaled by the speed; less in an unstable posture."""
        default = self._speed * float(self._robot.base.params["motion"]["default"]["accel_m"])
        if self._speed_limit.allows_full_speed(status.positions):
            return default
        return min(default, self._speed_limit.acceleration_mps2)

    def base_velocity(self, speed_mps: float, turn_radps: float) -> tuple[float, float]:
        """Velocity mode; returns what was sent within the speed limit. The wheels stop by themselves after 1 s."""
        sent = self._speed_limit.twist(speed_mps, turn_radps, self._base, self._reader.status().positions)
        self._velocity_mode = True
        self._send(lambda: self._robot.base.set_velocity(*sent, a=self._base.max_decel_mps2))
        return sent

    def reach(self, targets: Mapping[str, float]) -> str:
        """Moves joints to `targets` (m or rad) at their top speeds, together; returns the failure, or ""."""
        before = self._reader.status()
        self._send(*(partial(self._to, joint, target) for joint, target in targets.items()))
        durations = [self._limit_s(t - before.joints[j].position, *self._pace(j)) for j, t in targets.items()]
        return self._await_joints(targets, before, max(durations, default=0.0))

    def halt(self) -> None:
        """Brakes everything that moves; the gripper keeps its hold. Bounded in time."""
        self.stopping.set()
        thread = threading.Thread(target=self._halt, name="halt", daemon=True)  # a dead device answers late
        thread.start()
        thread.join(1.0)

    def hold(self) -> None:
        """Waits until all is at rest, then holds lift and arm in position: their firmware has no velocity watchdog."""
        self._wait_until(lambda status: all(_at_rest(n, j) for n, j in status.joints.items()) and _parked(status), 1.5)
        robot = self._robot

        def steady() -> None:
            robot.lift.move_by(0.0)
            robot.arm.move_by(0.0)

        if not self._fault():
            self._send(steady)

    def _to(self, joint: str, target: float) -> None:
        robot, (speed, acceleration) = self._robot, self._pace(joint)
        self._goals[joint] = target
        contact = self._options.contact_pct or None
        if joint in ("joint_lift", "joint_arm"):
            part = robot.lift if joint == "joint_lift" else robot.arm
            low = None if contact is None else -contact
            part.move_to(target, speed, acceleration, contact_thresh_pos=contact, contact_thresh_neg=low)
        elif joint == "gripper_aperture":
            self.grip_to(self._gripper.gripper_conversion.aperture_to_robotis(target))
        else:
            chain = robot.end_of_arm if joint == "joint_wrist_yaw" else robot.head
            chain.move_to(SERVO_JOINTS[joint], target, speed, acceleration)

    def grip_to(self, pct: float) -> None:
        """Moves the gripper to `pct`: 0 the fingertips touch, below they squeeze."""
        self._goals["gripper_aperture"] = self._gripper.gripper_conversion.robotis_to_aperture(pct)
        speed, acceleration = (pace / aperture_per_rad(self._gripper) for pace in self._pace("gripper_aperture"))
        self._robot.end_of_arm.move_to("stretch_gripper", pct, speed, acceleration)

    @property
    def _gripper(self) -> Any:
        return self._robot.end_of_arm.motors["stretch_gripper"]

    def _pace(self, joint: str) -> tuple[float, float]:
        """Top speed, and the SDK's default acceleration, of a joint in the units of its position."""
        speed = self._spec.joints[joint].max_speed
        if joint in ("joint_lift", "joint_arm"):
            part = self._robot.lift if joint == "joint_lift" else self._robot.arm
            return speed, self._speed * part.params["motion"]["default"]["accel_m"]
        motion = servos(self._robot)[SERVO_JOINTS[joint]].params["motion"]
        unit = aperture_per_rad(self._gripper) if joint == "gripper_aperture" else 1.0
        return min(speed, motion["max"]["vel"] * unit), self._speed * motion["default"]["accel"] * unit

    def _position_mode(self) -> None:
        """A position after a velocity needs the wheels back in their incremental mode first."""
        if self._velocity_mode:
            self._velocity_mode = False
            self._send(self._robot.base.enable_pos_incr_mode)

    def _send(self, *sends: Callable[[], object]) -> None:
        with self._wire:
            for send in sends:
                send()
            self._push()

    def _push(self) -> None:
        time.sleep(max(0.0, self._pushed_s + PUSH_PERIOD_S - time.monotonic()))
        # The SDK compares times of day to see whether a sync is due: after the clock was set back it sends none, and
        # commands would wait for it in silence. Without a last time it always sends one.
        self._robot.pimu.ts_last_motor_sync = None
        errors = transport_errors(self._robot)
        self._robot.push_command()
        self._pushed_s = time.monotonic()
        if transport_errors(self._robot) != errors:
            flush(self._robot)
            raise RobotError("a board did not take its command")

    def _halt(self) -> None:
        robot, status = self._robot, self._reader.status()

        def still() -> None:
            self._velocity_mode = True
            robot.base.set_velocity(0.0, 0.0, a=self._base.max_decel_mps2)
            robot.lift.set_velocity(0.0, a_m=robot.lift.params["motion"]["max"]["accel_m"])
            robot.arm.set_velocity(0.0, a_m=robot.arm.params["motion"]["max"]["accel_m"])

        moving = [joint for joint in SERVO_JOINTS if not _at_rest(joint, status.joints[joint])]
        for send in (partial(self._send, still), *(partial(self._brake, joint) for joint in moving)):
            try:
                send()
            except (Exception, SystemExit):  # every part is commanded, whatever happens to the others
                logging.getLogger(__name__).info(
                    "a part of the Stretch did not take the stop; sending it again", exc_info=True
                )
                self._again(send)

    def _again(self, send: Callable[[], object]) -> None:
        try:
            flush(self._robot)
            send()
        except (Exception, SystemExit):
            logging.getLogger(__name__).warning("a part of the Stretch did not take the stop", exc_info=True)

    def _brake(self, joint: str) -> None:
        """Sends a servo to the position where it can stop: between its last accepted position and its goal.

        It isn't read again for that: after a stall its bus answers with replies that are late.
        """
        servo, status = servos(self._robot)[SERVO_JOINTS[joint]], self._reader.status()
        measured, age_s = status.joints[joint], (time.monotonic_ns() - status.servos_ns) / 1e9
        top, hardest = (servo.params["motion"]["max"][name] for name in ("vel", "accel"))
        unit = aperture_per_rad(self._gripper) if joint == "gripper_aperture" else 1.0
        way = measured.velocity * age_s + math.copysign(measured.velocity**2 / (2 * hardest * unit), measured.velocity)
        goal = self._goals.get(joint, measured.position)
        low, high = sorted((measured.position, goal))
        target = min(max(measured.position + way, low), high)
        if joint == "gripper_aperture":
            target = self._gripper.gripper_conversion.aperture_to_robotis(target)
        servo.move_to(target, top, hardest)

    def _limit_s(self, distance: float, speed: float, acceleration: float) -> float:
        """Time limit: twice the duration of a trapezoidal profile of this speed and acceleration, plus a margin."""
        length, ramps = abs(distance), speed * speed / acceleration
        lasts = length / speed + speed / acceleration if length > ramps else 2 * math.sqrt(length / acceleration)
        return 2 * lasts + self._options.spare_s

    def _await_base(self, before: Status, limit_s: float, left: Callable[[Status], float], tolerance: float) -> str:
        contacts, readings_over = [wheel.contacts for wheel in before.wheels], 0
        unit = "m" if tolerance == BASE_ARRIVED_M else "rad"

        def met(now: Status) -> str:
            nonlocal readings_over
            hard = any(abs(wheel.effort_pct) >= self._options.base_contact_pct for wheel in now.wheels)
            readings_over = readings_over + 1 if hard else 0
            if readings_over >= CONTACT_READINGS or [wheel.contacts for wheel in now.wheels] != contacts:
                return f"contact: the base pushes against something, {abs(left(now)):.3f} {unit} before its target"
            return ""

        def arrived(now: Status) -> bool:
            return abs(left(now)) <= tolerance

        def short(now: Status) -> str:
            return f"contact: the base is at rest {abs(left(now)):.3f} {unit} from its target"

        return self._await(met, _parked, arrived, short, limit_s)

    def _await_joints(self, targets: Mapping[str, float], before: Status, limit_s: float) -> str:
        def met(now: Status) -> str:
            for joint in targets:
                if now.joints[joint].contacts != before.joints[joint].contacts:
                    return f"contact: {joint} pushes against something at {now.joints[joint].position:.3f}"
            return ""

        def ended(now: Status) -> bool:
            return all(_at_rest(joint, now.joints[joint]) for joint in targets)

        def off_target(now: Status) -> list[str]:
            off = {joint: abs(target - now.joints[joint].position) for joint, target in targets.items()}
            return [joint for joint, distance in off.items() if distance > ARRIVED.get(joint, ARRIVED_RAD)]

        def short(now: Status) -> str:
            joint = off_target(now)[0]
            return f"contact: {joint} is at rest at {now.joints[joint].position:.3f}, expected {targets[joint]:.3f}"

        return self._await(met, ended, lambda now: not off_target(now), short, limit_s)

    def _await(
        self,
        met: Callable[[Status], str],
        ended: Callable[[Status], bool],
        arrived: Callable[[Status], bool],
        short: Callable[[Status], str],
        limit_s: float,
    ) -> str:
        """Checks every new reading until the motion has ended; stops the robot in every other case."""
        sent_s, checked_ns, ended_s, readings = time.monotonic(), time.monotonic_ns(), 0.0, 0
        while True:
            now = self._next(checked_ns)
            if reason := self.interrupted(sent_s, limit_s):
                return self.end(reason)
            if now.stamp_ns <= checked_ns:
                continue  # an old reading, perhaps from before the motion
            checked_ns = now.newest_ns  # so that the next one is new in all its parts
            if reason := met(now):
                reason = self.end(reason)
                return "" if arrived(self._reader.status()) else reason  # a contact at the end stop may be the target
            ended_s, readings = (ended_s or time.monotonic(), readings + 1) if ended(now) else (0.0, 0)
            if readings >= 2 and arrived(now):  # a single reading may fall into the last moments of a motion
                return ""
            if ended_s and time.monotonic() - ended_s > SETTLE_S:
                return self.end(short(now))

    def interrupted(self, sent_s: float, limit_s: float) -> str:
        """Reason why a motion that began at `sent_s` must end now; empty when it may continue."""
        if self.stopping.is_set():
            return "stopped"
        if fault := self._fault():
            return fault
        took_s = time.monotonic() - sent_s
        return f"time limit: not at the target after {took_s:.1f} s" if took_s > limit_s else ""

    def end(self, reason: str) -> str:
        """Stops the robot, holds it, and returns `reason`."""
        self.halt()
        self.hold()
        return reason

    def _next(self, after_ns: int) -> Status:
        """Returns the next complete reading; an old one when none comes, for which `_fault` has the reason."""
        self._reader.wait(after_ns, 0.2)
        return self._reader.status()

    def _wait_until(self, done: Callable[[Status], bool], limit_s: float) -> None:
        deadline, checked_ns = time.monotonic() + limit_s, time.monotonic_ns()
        while time.monotonic() < deadline and not self._fault():
            now = self._next(checked_ns)
            checked_ns = now.stamp_ns
            if done(now):
                return


def _along(start: tuple[float, float, float], now: tuple[float, float, float]) -> float:
    """Distance of the base ahead of `start`."""
    return (now[0] - start[0]) * math.cos(start[2]) + (now[1] - start[1]) * math.sin(start[2])


def _at_rest(joint: str, measured: Measured) -> bool:
    return not measured.busy and abs(measured.velocity) < AT_REST.get(joint, AT_REST_RADPS)


def _parked(status: Status) -> bool:
    return not any(wheel.busy or abs(wheel.velocity) > AT_REST_MPS for wheel in status.wheels)
