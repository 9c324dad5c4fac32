"""Drives an AgileX Piper through piper_sdk.

Ferry enforces every limit itself: the SDK's are off by default and miss Cartesian control, so that Cartesian goals go
through our own kinematics and only joint targets are sent. Written from the SDK's source and tested against
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
from robots.command import Command, Done, Stop
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
"""An arm that was moved by hand may stand a little beyond a limit; further, it must be moved back by hand."""


@dataclass(frozen=True)
class PiperOptions:
    """How to reach the arm and how to move it.

    Attributes:
        channel: CAN interface, or the multicast group of a fake.
        interface: python-can's kind of bus: "socketcan", "slcan", "udp_multicast" (a fake).
        speed: the share of the arm's top speeds that it moves with, in (0, 1].
        floor_m: the fingertips stay above this height over the arm's base [m].
        rate_hz: how often joint targets are sent while moving.
        stale_after_s: feedback older than this stops the arm [s].
        connect_timeout_s: how long to wait for feedback, and for the motors to hold [s].
        scene_camera: what looks over the table, as `robots.cameras.sources` takes it ("realsense:SERIAL", "opencv:0",
            "synthetic"); empty where there is none, and the spec has none either.
        wrist_camera: the same for the camera above the gripper.
        clear_estop: clear a latched emergency stop when connecting. THE ARM LOSES POWER AND SINKS: hold it.
        disable_on_exit: let the motors go when disconnecting. THE ARM FALLS unless somebody holds it.
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
    """One arm with its gripper."""

    def __init__(self, options: PiperOptions = PiperOptions()) -> None:
        self.options = options
        chosen = {"scene": options.scene_camera, "wrist": options.wrist_camera}
        specs = tuple(camera for camera in CAMERAS if chosen[camera.name])
        self._spec = piper(options.speed, options.floor_m, specs)
        self._cameras = {one.name: Camera(source(chosen[one.name], one.height, one.width)) for one in specs}
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
        """Opens the bus, waits for feedback, lets the motors hold where they are.

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
        """Leaves the arm holding where it is."""
        if self._link is not None and self.options.disable_on_exit:
            self._link.disable()
        self._close()

    def observe(self) -> Observation:
        """Pictures, joints, gripper and fingertips, stamped when the oldest of them was sensed.

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
        """Moves until the measured joints have arrived, or says why not."""
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

    def stop(self) -> None:
        """Holds the arm where it is; the gripper keeps what it was told. Also before `connect`."""
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
        fault = link.trouble() or next((camera.fault for camera in self._cameras.values() if camera.fault), "")
        return Health(runstop=link.estop(), fault=fault, notes=notes)

    def emergency_stop(self) -> None:
        """Latches the arm's own emergency stop; only `PiperOptions.clear_estop` at a later connection clears it."""
        self._require("emergency_stop").emergency_stop()

    def _require(self, operation: str) -> PiperLink:
        if self._link is None:
            raise NotConnected(self._spec.name, operation)
        return self._link

    def _start(self, link: PiperLink) -> None:
        """From the first frame to motors that hold, each step with a time limit."""
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
        if trouble := link.trouble():
            raise ConnectionFailed(f"piper: {trouble}")

    def _check_ranges(self, link: PiperLink) -> None:
        for (name, one), at in zip(self._spec.joints.items(), link.positions()):
            if not one.low - RANGE_SLACK_RAD <= at <= one.high + RANGE_SLACK_RAD:
                raise ConnectionFailed(
                    f"piper: {name} is at {at:.3f}, expected [{one.low}, {one.high}]; move it there by hand"
                )

    def _await(self, ready: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.options.connect_timeout_s
        while not ready():
            if time.monotonic() > deadline:
                disbelieved = self._link.disbelieved if self._link else ""
                raise ConnectionFailed(f"piper: {disbelieved or otherwise}")
            time.sleep(POLL_S)

    def _move(self, motion: PiperMotion, sent: Sent) -> Sent:
        assert self._planner is not None  # `connect` made it
        try:
            plan = self._planner.plan(sent.command, motion.here())
        except Refused as refusal:
            return replace(sent, refused=str(refusal))
        return replace(sent, blocked=motion.follow(plan))

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
