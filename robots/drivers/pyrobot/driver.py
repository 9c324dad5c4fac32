"""A LoCoBot driven by PyRobot (ROS 1), which runs in a process of its own: this is its client, without ROS.

On the robot: `python3 -m pyrobot_server`, see docs/pyrobot_protocol.md.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robots.cameras.freeze import FreezeDetector
from robots.cameras.letterbox import fov_scale, lens_fov_deg, letterbox
from robots.command import Command, JointTarget, LookAt, MoveBase, MoveJoint, RotateBase, Stop
from robots.drivers.pyrobot.link import ConnectionLost, Link, Refused
from robots.drivers.pyrobot.pyrobot_server.machine import STALE_S
from robots.drivers.pyrobot.pyrobot_server.messages import Message
from robots.drivers.pyrobot.pyrobot_server.server import NEWER_IMAGE_S
from robots.embodiment import Embodiment
from robots.embodiments.locobot import IMAGE_FOV_DEG, PAN, TILT, camera_slots, locobot
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import limit
from robots.observation import Observation
from robots.plausibility import Plausibility, of_base, of_joints, unwrapped
from robots.processes.lock import Lock, claim
from robots.robot import Connected, Health, Sent

MARGIN_S = 4.0
"""A motion may take twice its time at top speed, and this."""

RETRY_S = 1.0
"""Between two attempts to connect again."""

ANSWER_S = 3.0  # after a motion's own limit: the base ramps down to rest before the server answers


@dataclass(frozen=True)
class PyrobotOptions:
    """Connection and motion options of a LoCoBot behind PyRobot.

    Attributes:
        address: "host:port" of the PyRobot server.
        speed: fraction of the robot's top speeds, in (0, 1].
        height: of the images in observations, pixels.
        width: of the images in observations, pixels.
        image_fov_deg: their vertical field of view; the part that the camera does not cover is black.
        camera_slots: actions that move the camera, see `embodiments.locobot.camera_slots`; empty: the default.
        camera_stale_s: age limit of the newest image.
        camera_frozen_s: images that stay the same for longer are a frozen camera.
        timeout_s: of answers that do not wait for a motion.
        ready_s: time limit, after connecting, of the first odometry, joint states and image.
    """

    address: str = "127.0.0.1:7077"
    speed: float = 1.0
    height: int = 720
    width: int = 1280
    image_fov_deg: float = IMAGE_FOV_DEG
    camera_slots: str = ""
    camera_stale_s: float = 1.0
    camera_frozen_s: float = 0.5
    timeout_s: float = 2.0
    ready_s: float = 5.0


class PyrobotLocobot(Connected):
    """The LoCoBot behind a PyRobot server."""

    def __init__(self, options: PyrobotOptions | None = None) -> None:
        self.options = options or PyrobotOptions()
        table = locobot(camera_slots(self.options.camera_slots), self.options.image_fov_deg)
        camera = replace(table.cameras[0], height=self.options.height, width=self.options.width)
        self._spec = table.with_cameras(camera).slowed(self.options.speed)
        self._link: Link | None = None
        self._lock: Lock | None = None
        self._state: Message = {}
        self._state_ns = 0
        self._checking = threading.Lock()
        self._begin_checks()
        self._retry_s = 0.0
        self._doubt = ""  # why the motion under distance was ended
        self._image_number, self._stamp_ns, self._filled = 0, 0, 0.0
        self._moving, self._send_lock, self._halted = threading.Lock(), threading.Lock(), threading.Event()

    @property
    def spec(self) -> Embodiment:
        """Embodiment of the robot."""
        return self._spec

    @property
    def pose(self) -> tuple[float, float, float]:
        """Base pose (x [m], y [m], yaw [rad]) by odometry. Raises NotConnected."""
        self._linked("pose")
        x, y, yaw = self._state["pose"]
        return float(x), float(y), float(yaw)

    def connect(self) -> None:
        """Connects. Raises ConnectionFailed: no server, another client or version, or a robot without feedback."""
        lock = claim(f"locobot-{self.options.address}")
        self._state = {}
        self._begin_checks()
        try:
            self._link = Link(self.options.address, self.options.timeout_s, self._take)
            self._wait_ready()
        except BaseException:
            self._drop()
            lock.release()
            raise
        self._lock = lock

    def disconnect(self) -> None:
        """Disconnects; the server stops the base. Idempotent."""
        self._drop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def observe(self) -> Observation:
        """Returns the first image that has not been observed yet, with the head's joints.

        Raises:
            NotConnected: before `connect`.
            ConnectionLost: the server is gone; once it is back, the connection is made again here.
            Refused: the server has no newer image.
            RobotError: joint states or odometry are missing or implausible, or the camera is lost or frozen.
        """
        link = self._linked("observe")
        link = self._reconnected(link) if link.lost else link
        asked_ns = time.monotonic_ns()
        answer, pixels = link.ask("image", limit_s=self.options.timeout_s + NEWER_IMAGE_S, after=self._image_number)
        if answer["pan"] is None or answer["tilt"] is None:
            raise RobotError("feedback stale: no joint states of the head")
        with self._checking:
            head = _head(answer)
            self._is_plausible(head, asked_ns, answer)
            fault = self._plausible.fault
        if fault:
            raise RobotError(fault)
        self._image_number = int(answer["number"])
        sensed_ns = asked_ns if answer["waited"] else asked_ns - round(1e9 * float(answer["image_age_s"]))
        self._freeze.take(pixels, sensed_ns)
        if self._freeze.fault:
            raise RobotError(self._freeze.fault)
        self._stamp_ns = max(self._stamp_ns + 1, sensed_ns)
        image = np.frombuffer(pixels, np.uint8).reshape(answer["height"], answer["width"], 3)
        lens_deg = lens_fov_deg(float(answer["focal_px"]), int(answer["height"]))
        camera = self._spec.cameras[0]
        self._filled = min(1.0, fov_scale(lens_deg, camera.vertical_fov_deg))
        joints = np.array([head[name] for name in self._spec.state["joints"].names], np.float32)
        state = {"joints": joints, "hand": np.zeros(1, np.float32)}
        return Observation(self._stamp_ns, {camera.name: letterbox(image, lens_deg, camera)}, state)

    def execute(self, command: Command) -> Sent:
        """Moves, and returns when the motion ended as measured, was blocked or refused. Raises NotConnected."""
        link = self._linked("execute")
        with self._moving:
            self._halted.clear()
            sent = limit(command, self._spec, _head(self._state))
            if sent.refused:
                return sent
            if self._plausible.fault and not isinstance(sent.command, Stop):
                return replace(sent, refused=self._plausible.fault)
            if isinstance(sent.command, Stop):
                self.stop()
            request = self._request(sent.command)
            return replace(sent, blocked=self._move(link, request)) if request else sent

    def stop(self) -> None:
        """Ends a running motion: the base ramps down to an explicit zero, the head holds. From any thread."""
        link = self._link
        with self._send_lock:
            self._halted.set()
        if link is not None and not link.lost:
            with contextlib.suppress(RobotError):  # lost: the server stops the base by itself
                link.ask("stop", limit_s=0.5)

    def health(self) -> Health:
        """Health by the last heartbeat; a lost server, silent odometry, a lost or frozen camera are faults."""
        link = self._link
        if link is None:
            return Health(fault="not connected")
        age_s = (time.monotonic_ns() - self._state_ns) / 1e9
        notes = {"image_filled": self._filled, "beat_age_s": age_s}
        return Health(fault=self._fault(link, age_s), notes=notes)

    def _fault(self, link: Link, age_s: float) -> str:
        if link.lost:
            return f"lost: {link.lost}"
        if age_s > STALE_S:
            return f"feedback stale: no beat for {age_s:.1f} s"
        if self._plausible.fault:
            return self._plausible.fault
        if self._state["odometry_age_s"] > STALE_S:
            return f"feedback stale: no odometry for {self._state['odometry_age_s']:.1f} s"
        return self._freeze.fault

    def _take(self, state: Message, asked_ns: int) -> None:
        """Takes a heartbeat's answer; keeps the previous pose and head when the new ones are implausible."""
        if not _missing(state):
            with self._checking:
                place = self._place(state)
                if self._is_plausible({**_head(state), **place}, asked_ns, state):
                    self._turned = place["yaw"]
                else:
                    state = {**state, **{name: self._state.get(name) for name in ("pose", "pan", "tilt")}}
                    self._end_motion()
        self._freeze.delivered(asked_ns - round(1e9 * float(state["image_age_s"])))
        self._state, self._state_ns = state, asked_ns

    def _end_motion(self) -> None:
        """Ends a motion: the server controls it by the feedback that was just rejected."""
        link = self._link
        if link is not None and self._moving.locked():
            self._doubt = self._plausible.fault
            with contextlib.suppress(RobotError):
                link.ask("stop", limit_s=0.5)

    def _is_plausible(self, measured: dict[str, float], asked_ns: int, state: Message) -> bool:
        """Checks feedback; PyRobot reports the age of its odometry only, and the rest may be as old."""
        asked_s = asked_ns / 1e9 - float(state["odometry_age_s"])
        return self._plausible.take(measured, time.monotonic(), asked_s=asked_s)

    def _place(self, state: Message) -> dict[str, float]:
        """x, y [m] and unwrapped yaw [rad]."""
        x, y, yaw = (float(value) for value in state["pose"])
        return {"x": x, "y": y, "yaw": unwrapped(yaw, self._turned)}

    def _reconnected(self, lost: Link) -> Link:
        """Connects again, at most once in `RETRY_S`: the server was restarted, or one of the two was suspended.

        Nothing that was under way goes on: the server ended it when it heard no beat.
        """
        if time.monotonic() < self._retry_s or not self._moving.acquire(blocking=False):
            raise ConnectionLost(f"lost: {lost.lost}")
        try:
            lost.close()
            self._image_number = 0
            self._begin_checks()
            link = Link(self.options.address, self.options.timeout_s, self._take)
            if self._link is not lost:  # disconnected meanwhile
                link.close()
                raise NotConnected(self._spec.name, "observe")
            self._link = link
            return link
        except ConnectionFailed as error:
            raise ConnectionLost(f"lost: {lost.lost}; {error}") from error
        finally:
            self._retry_s = time.monotonic() + RETRY_S
            self._moving.release()

    def _begin_checks(self) -> None:
        """Forgets the feedback and the images of a connection before."""
        options = self.options
        self._plausible, self._turned = _plausible(), 0.0
        self._freeze = FreezeDetector(self._spec.cameras[0].name, options.camera_stale_s, options.camera_frozen_s)

    def _wait_ready(self) -> None:
        end_s = time.monotonic() + self.options.ready_s
        while missing := _missing(self._state) or ("camera image" if self._freeze.fault else ""):
            if time.monotonic() > end_s:
                where = f"the PyRobot server at {self.options.address}"
                raise ConnectionFailed(
                    f"{where} sends no {missing}: is the robot's ROS driver up (use_base, use_camera)?"
                )
            time.sleep(0.02)

    def _drop(self) -> None:
        link, self._link = self._link, None
        self._image_number = 0
        if link is not None:
            link.close()

    def _linked(self, operation: str) -> Link:
        if self._link is None:
            raise NotConnected(self._spec.name, operation)
        return self._link

    def _request(self, command: Command) -> dict[str, Any]:
        """Request to the server; empty where nothing moves. Every speed is the table's."""
        base = self._spec.base
        assert base is not None  # the table has one
        if isinstance(command, MoveBase):
            distance, speed, decel = command.distance_m, base.max_speed_mps, base.max_decel_mps2
            return {
                "op": "drive",
                "amount": distance,
                "speed": speed,
                "decel": decel,
                "limit_s": _limit_s(distance, speed),
            }
        if isinstance(command, RotateBase):
            distance, speed, decel = command.angle_rad, base.max_turn_radps, base.max_turn_decel_radps2
            return {
                "op": "turn",
                "amount": distance,
                "speed": speed,
                "decel": decel,
                "limit_s": _limit_s(distance, speed),
            }
        goal = _head_goal(command, _head(self._state))
        if not goal:
            return {}
        speed = min(self._spec.joints[name].max_speed for name in goal)
        distance = max(abs(goal[name] - current) for name, current in _head(self._state).items())
        return {
            "op": "look",
            "pan": goal[PAN],
            "tilt": -goal[TILT],
            "speed": speed,
            "limit_s": _limit_s(distance, speed),
        }

    def _move(self, link: Link, request: dict[str, Any]) -> str:
        """Executes a motion; returns the reason why it did not complete, or ""."""
        try:
            with self._send_lock:  # a concurrent stop is sent after this motion, and ends it
                if self._halted.is_set():
                    return "stopped"
                self._doubt = ""
                under_way = link.send(**request)
            answer, _ = link.wait(under_way, request["limit_s"] + ANSWER_S)
        except ConnectionLost as error:
            return str(error)
        except Refused as error:
            return f"refused by the PyRobot server: {error}"
        return (answer["ended"] and self._doubt) or str(answer["ended"])


def _plausible() -> Plausibility:
    """Bounds of a LoCoBot's head and wheels at their full top speeds, also when it is driven slower."""
    body = locobot()
    assert body.base is not None  # the table has one
    return Plausibility({**of_joints(body), **of_base(body.base)})


def _limit_s(distance: float, speed: float) -> float:
    return 2 * abs(distance) / speed + MARGIN_S


def _missing(state: Message) -> str:
    if not state or state["pose"] is None:
        return "odometry"
    if state["pan"] is None or state["tilt"] is None:
        return "joint states of the head"
    return ""


def _head(state: Message) -> dict[str, float]:
    """Joint name -> [rad], tilt up positive: PyRobot counts it downwards."""
    return {PAN: float(state["pan"]), TILT: -float(state["tilt"])}


def _head_goal(command: Command, current: dict[str, float]) -> dict[str, float]:
    if isinstance(command, LookAt):
        return {PAN: command.pan_rad, TILT: command.tilt_rad}
    if isinstance(command, MoveJoint):
        return current | {command.joint: current[command.joint] + command.delta}
    if isinstance(command, JointTarget):
        return current | dict(zip(command.joints, command.positions))
    return {}
