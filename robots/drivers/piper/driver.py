"""Driver of an AgileX Piper through piper_sdk.

Ferry enforces every limit itself: the SDK's are off by default and ignore Cartesian control, so that Cartesian goals
use our own kinematics and only joint targets are sent. Written from the SDK's source and tested against
`robots.fakes.piper.process`; not yet run on a real arm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from robots.arms.kinematics import Kinematics, rotation_vector
from robots.arms.planner import ArmPlanner, Refused
from robots.cameras.camera import Camera
from robots.cameras.sources import source
from robots.command import Chunk, Command, Done, Stop
from robots.drivers.piper.link import PiperLink
from robots.drivers.piper.motion import POLL_S, PiperMotion
from robots.embodiment import Embodiment
from robots.embodiments.piper import ACCELERATION_RADPS2, CAMERAS, PIPER_URDF, TOP_SPEED_RADPS, piper
from robots.embodiments.piper_urdf import ARM, TIP
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import limit
from robots.observation import Observation
from robots.processes.lock import Lock, claim
from robots.robot import Connected, Health, Sent
from robots.spec import F32Vector

RANGE_SLACK_RAD = 0.05
"""An arm that was moved by hand may be this far beyond a limit; from further out it must be moved back by hand."""


@dataclass(frozen=True)
class PiperOptions:
    """Connection and motion options of a Piper.

    Attributes:
        channel: CAN interface, or the multicast group of a fake.
        interface: python-can's kind of bus: "socketcan", "slcan", "udp_multicast" (a fake).
        speed: fraction of the arm's top speeds, in (0, 1].
        floor_m: the fingertips stay above this height over the arm's base [m].
        rate_hz: rate of joint targets during a motion.
        stale_after_s: feedback older than this stops the arm [s].
        connect_timeout_s: timeout of the first feedback, and of enabling the motors [s].
        scene_camera: camera that overlooks the table, in a form of `robots.cameras.sources` ("realsense:SERIAL",
            "opencv:0", "synthetic"); empty: none, also in the spec.
        wrist_camera: camera above the gripper, likewise.
        clear_estop: clear a latched emergency stop when connecting. THE ARM LOSES POWER AND SINKS: hold it.
        disable_on_exit: disable the motors when disconnecting. THE ARM FALLS unless it is supported.
    """

    channel: str = "can0"
    interface: str = "socketcan"
    speed: float = 1.0
    floor_m: float = 0.0
    rate_hz: float = 100.0
    stale_after_s: float = 0.2
    connect_timeout_s: float = 5.0
    scene_camera: str = ""
    wrist_camera: str = ""
    clear_estop: bool = False
    disable_on_exit: bool = False


class PiperRobot(Connected):
    """An AgileX Piper with its gripper."""

    def __init__(self, options: PiperOptions = PiperOptions()) -> None:
        self.options = options
        chosen = {"scene": options.scene_camera, "wrist": options.wrist_camera}
        specs = tuple(camera for camera in CAMERAS if chosen[camera.name])
        self._spec = piper(options.speed, options.floor_m, specs)
        self._cameras = {spec.name: Camera(source(chosen[spec.name], spec.height, spec.width)) for spec in specs}
        self._link: PiperLink | None = None
        self._lock: Lock | None = None
        self._planner: ArmPlanner | None = None
        self._seen_ns = -1
        self._motion: PiperMotion | None = None
        self._moving = threading.Lock()

    @property
    def spec(self) -> Embodiment:
        """The arm at the options' speed and with the options' cameras."""
        return self._spec

    def connect(self) -> None:
        """Opens the bus, waits for feedback, and enables the motors, which hold their positions.

        Raises:
            ConnectionFailed: SDK or kinematics missing, no such bus, no permission, driven by another process, silent,
                e-stopped, in teaching mode, outside its limits, or its motors do not hold.
        """
        if self._link is not None:
            return
        kinematics = Kinematics(PIPER_URDF, ARM, TIP)
        self._lock = claim(f"piper-{self.options.channel}")
        try:
            self._link = PiperLink(self.options.channel, self.options.interface, self.options.stale_after_s)
            self._motion = PiperMotion(self._link, self._spec.joints, self.options.rate_hz)
            self._planner = ArmPlanner(self._spec, ARM, kinematics, ACCELERATION_RADPS2)
            self._start(self._link)
            for camera in self._cameras.values():
                camera.open()
        except BaseException:
            self._close()
            raise

    def disconnect(self) -> None:
        """Disconnects; the arm holds its position, unless `disable_on_exit`."""
        if self._link is not None and self.options.disable_on_exit:
            self._link.disable()
        self._close()

    def observe(self) -> Observation:
        """Images, joints, gripper and fingertips, stamped when the oldest of them was sensed.

        Raises RobotError when the feedback or a camera is lost, stale or frozen.
        """
        link = self._require("observe")
        frames = {name: camera.newest(self._seen_ns) for name, camera in self._cameras.items()}
        deadline = time.monotonic() + self.options.stale_after_s
        while link.stamp_ns <= self._seen_ns and time.monotonic() < deadline:
            time.sleep(0.001)  # feedback comes every 5 ms
        if lost := link.lost():
            raise RobotError(f"piper: {lost}")
        self._seen_ns = min([link.stamp_ns, *(frame.stamp_ns for frame in frames.values())])
        images = {name: frame.image for name, frame in frames.items()}
        return Observation(self._seen_ns, images, self._state(link.positions()))

    def execute(self, command: Command) -> Sent:
        """Executes a command; returns when the measured joints have arrived, or with the reason why they did not."""
        link, motion = self._require("execute"), self._motion
        assert motion is not None  # made with the link
        with self._moving:
            motion.begin()
            sent = limit(command, self._spec, dict(zip(self._spec.joints, link.positions())))
            if isinstance(command, Stop):
                motion.stop()
            if sent.refused or isinstance(command, (Done, Stop)):
                return sent
            if fault := self.health().fault:
                return replace(sent, refused=fault)
            return self._move(motion, sent)

    @property
    def following(self) -> bool:
        """Whether a chunk runs that another may be joined on to."""
        return self._motion is not None and self._motion.following

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk` on to the one that runs; the arm keeps moving."""
        self._require("join")
        assert self._motion is not None  # made with the link, as is the planner
        assert self._planner is not None
        if fault := self.health().fault:
            return Sent(chunk, refused=fault)
        return self._motion.join(self._planner, chunk, sensed_ns)

    def stop(self) -> None:
        """Holds the arm at its position; the gripper keeps its command. Also callable before `connect`."""
        if (motion := self._motion) is not None:
            motion.stop()

    def health(self) -> Health:
        """E-stop, bus, feedback, motors; the supply voltage and the hottest motor as notes."""
        link = self._link
        if link is None:
            return Health(fault="not connected: connect() first")
        if lost := link.lost():
            return Health(fault=lost)
        motors = link.motors()
        notes = {
            "voltage_v": min(motor.voltage_v for motor in motors),
            "temperature_c": max(motor.temperature_c for motor in motors),
        }
        fault = link.fault() or next((camera.fault for camera in self._cameras.values() if camera.fault), "")
        return Health(runstop=link.estop(), fault=fault, notes=notes)

    def emergency_stop(self) -> None:
        """Latches the arm's own emergency stop; only `PiperOptions.clear_estop` at a later connection clears it."""
        self._require("emergency_stop").emergency_stop()

    def _require(self, operation: str) -> PiperLink:
        if self._link is None:
            raise NotConnected(self._spec.name, operation)
        return self._link

    def _start(self, link: PiperLink) -> None:
        """Starts the arm, from the first frame to enabled motors, each step with a time limit."""
        where = f"{self.options.channel} ({self.options.interface})"
        self._await(lambda: link.complete, f"no feedback from the arm on {where}; is it switched on and plugged in?")
        if link.estop():
            if not self.options.clear_estop:
                raise ConnectionFailed("piper: e-stop: it is latched; hold the arm and connect with clear_estop")
            link.reset()
            self._await(lambda: not link.estop(), "e-stop: it does not clear")
        self._check_ranges(link)
        self._await(link.enable, f"the motors do not hold within {self.options.connect_timeout_s} s")
        percent = max(1, round(100 * self._spec.joints[ARM[0]].max_speed / TOP_SPEED_RADPS))

        def obeys() -> bool:
            link.send_mode(percent)
            return link.in_control()

        self._await(obeys, "the arm does not obey CAN; is it in teaching mode (button on the arm)?")
        assert self._motion is not None  # made with the link
        self._motion.hold()
        if fault := link.fault():
            raise ConnectionFailed(f"piper: {fault}")

    def _check_ranges(self, link: PiperLink) -> None:
        for (name, joint), at in zip(self._spec.joints.items(), link.positions()):
            if not joint.low - RANGE_SLACK_RAD <= at <= joint.high + RANGE_SLACK_RAD:
                raise ConnectionFailed(
                    f"piper: {name} is at {at:.3f}, expected [{joint.low}, {joint.high}]; move it there by hand"
                )

    def _await(self, ready: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.options.connect_timeout_s
        while not ready():
            if time.monotonic() > deadline:
                implausible = self._link.implausible if self._link else ""
                raise ConnectionFailed(f"piper: {implausible or otherwise}")
            time.sleep(POLL_S)

    def _move(self, motion: PiperMotion, sent: Sent) -> Sent:
        assert self._planner is not None  # `connect` made it
        try:
            plan = self._planner.plan(sent.command, motion.current())
        except Refused as refusal:
            return replace(sent, refused=str(refusal))
        joins = isinstance(sent.command, Chunk) and sent.command.joins
        return replace(sent, blocked=motion.follow(plan, joins))

    def _state(self, positions: list[float]) -> dict[str, F32Vector]:
        assert self._planner is not None
        assert self._planner.kinematics is not None
        place, rotation = self._planner.kinematics.forward(positions[:-1])
        tip = np.concatenate([place, rotation_vector(rotation)])
        return {"joints": np.array(positions, dtype=np.float32), "tip": tip.astype(np.float32)}

    def _close(self) -> None:
        link, self._link, self._motion = self._link, None, None
        for camera in self._cameras.values():
            camera.close()
        if link is not None:
            link.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
