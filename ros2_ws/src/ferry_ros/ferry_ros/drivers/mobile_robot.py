"""Base class of a robot behind its vendor's ROS nodes: a base driven by velocities, joints moved by positions.

What is here is the same for each: one motion at a time, limits, and its end. A motion ends at rest, by measurement; one
that failed is halted. A driver says how its vendor's nodes are found, what is wrong with them, and how each command is
performed.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from ferry_ros.drivers import base_motion
from ferry_ros.drivers.joint_stream import Positions
from ferry_ros.drivers.odometry import OdometryFeedback
from ferry_ros.drivers.ros_camera import RosCamera, Shot
from ferry_ros.drivers.vendor_node import claim_in_domain
from robots.command import Command, Done, MoveBase, RotateBase, Stop
from robots.embodiment import BaseLimits, Embodiment
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import limit
from robots.observation import Observation
from robots.processes.lock import Lock
from robots.robot import Connected, Sent
from robots.spec import F32Vector, U8Image


class BaseLink(Protocol):
    """Topics of the vendor's nodes."""

    odometry: OdometryFeedback

    def send_velocity(self, forward_mps: float, turn_radps: float) -> None:
        """Sends a velocity to the base."""

    def close(self) -> None:
        """Ends the subscriptions."""


LinkT = TypeVar("LinkT", bound=BaseLink)


class MobileRobot(Connected, Generic[LinkT]):
    """Robot behind a vendor's nodes, which must run already.

    Args:
        table: its embodiment, before its own limits are read.
        claim: kind and namespace of the robot: one process drives it.
        observe_timeout_s: of an observation newer than the last motion [s].
    """

    def __init__(self, table: Embodiment, claim: tuple[str, str], observe_timeout_s: float) -> None:
        self._table = self._spec = table
        self._claim, self._observe_timeout_s = claim, observe_timeout_s
        self._link: LinkT | None = None
        self._lock: Lock | None = None
        self._ready = False
        self._cameras: dict[str, RosCamera] = {}
        self._stop, self._motion = threading.Event(), threading.Lock()
        self._seen_ns = -1

    @property
    def spec(self) -> Embodiment:
        """The robot; once connected, narrowed to the limits that its own software reports."""
        return self._spec

    @property
    def pose(self) -> base_motion.Pose:
        """(x_m, y_m, yaw_rad) of the wheel odometry."""
        return self._link.odometry.pose if self._link else (0.0, 0.0, 0.0)

    def connect(self) -> None:
        """Finds the vendor's nodes and makes them ready; moves nothing.

        Raises ConnectionFailed, which names what is missing and what to check, and SpecError for images of another
        size.
        """
        if self._link is not None:
            return
        lock = claim_in_domain(*self._claim)
        try:
            link = self._link = self._open()
            self._prepare(link)
            self._lock, self._ready = lock, True
        except BaseException as error:
            self._let_go()
            lock.release()
            if type(error) is RobotError:  # what went wrong with the vendor's nodes, by name
                raise ConnectionFailed(str(error)) from error
            raise

    def disconnect(self) -> None:
        """Ends a running motion and lets the vendor's nodes go; they hold what they were last sent. Idempotent."""
        self._stop.set()
        with self._motion:
            link = self._link
            if link is None:
                return
            try:
                self._leave(link)
            finally:
                self._let_go()

    def observe(self) -> Observation:
        """An image of each camera and the joints, all sensed after the last observation and the last motion.

        Raises RobotError ("camera lost: ...", "camera frozen: ...", "feedback stale: ...") when one of them does not
        come in time.
        """
        link, after_ns = self._require("observe"), self._seen_ns
        shots = {name: camera.wait(after_ns, self._observe_timeout_s) for name, camera in self._cameras.items()}
        sensed_ns, positions = self._joints_after(link, after_ns)
        self._seen_ns = min(sensed_ns, *(shot.stamp_ns for shot in shots.values()))
        images = {name: self._image(link, name, shot) for name, shot in shots.items()}
        hand = np.array([float(self._in_hand())], dtype=np.float32)
        return Observation(self._seen_ns, images, {"joints": self._within(positions), "hand": hand})

    def execute(self, command: Command) -> Sent:
        """Executes a command within the limits; returns once the robot is measured at rest."""
        link = self._require("execute")
        with self._motion:
            self._stop.clear()
            here = self._positions(link)
            sent = limit(command, self._spec, here)
            if sent.refused or isinstance(command, Done):
                return sent
            if isinstance(command, Stop):
                self._halt(link)
                return sent
            if refusal := self._unready(link):
                return replace(sent, refused=refusal)
            return replace(sent, blocked=self._move(link, sent.command, here))

    def stop(self) -> None:
        """The base ramps down to an explicit zero, the joints hold where they were measured."""
        self._stop.set()
        if self._link is not None and self._ready and not self._motion.locked():  # a running motion ends itself
            self._halt(self._link)

    def _move(self, link: LinkT, command: Command, here: Mapping[str, float]) -> str:
        reason = "the motion failed"
        try:
            reason = self._perform(link, command, here)
        finally:
            if reason:
                self._halt(link)
            if reason and not isinstance(command, (MoveBase, RotateBase)):  # a base was measured to be at rest
                self._wait_at_rest(link)
            self._seen_ns = time.monotonic_ns()
        return reason

    def _drive(self, link: LinkT, command: MoveBase | RotateBase, limits: BaseLimits) -> str:
        """Drives or turns the base; returns why it did not arrive, or ""."""
        port = base_motion.BasePort(
            link.send_velocity, lambda: link.odometry.pose, self._interruption_of_base(link, command)
        )
        if isinstance(command, MoveBase):
            return base_motion.drive(port, limits, command.distance_m)
        return base_motion.turn(port, limits, command.angle_rad)

    def _within(self, positions: Positions) -> F32Vector:
        """Joint state; fingers that press on each other are closed, a joint pushed past its range is at its end."""
        spec = self._spec.state["joints"]
        values = [min(max(positions[name], low), high) for name, low, high in zip(spec.names, spec.low, spec.high)]
        return np.array(values, dtype=np.float32)

    def _require(self, operation: str) -> LinkT:
        if self._link is None or not self._ready:
            raise NotConnected(self._spec.name, operation)
        return self._link

    def _let_go(self) -> None:
        link, lock, self._lock = self._link, self._lock, None
        self._link, self._ready, self._cameras, self._spec = None, False, {}, self._table
        if link is not None:
            link.close()
        if lock is not None:
            lock.release()

    def _in_hand(self) -> bool:
        """Whether an object is held; false for a robot without a hand."""
        return False

    @abstractmethod
    def _open(self) -> LinkT:
        """Creates the link, with `_cameras` on its node; nothing is received yet."""

    @abstractmethod
    def _prepare(self, link: LinkT) -> None:
        """Waits for the vendor's nodes and makes them ready; narrows `_spec`. Raises RobotError."""

    @abstractmethod
    def _leave(self, link: LinkT) -> None:
        """Says good-bye to the vendor's nodes."""

    @abstractmethod
    def _positions(self, link: LinkT) -> dict[str, float]:
        """Measured joints by name [m] or [rad]."""

    @abstractmethod
    def _joints_after(self, link: LinkT, after_ns: int) -> tuple[int, Positions]:
        """Time and positions of joints sensed after `after_ns`; RobotError when none come in time."""

    @abstractmethod
    def _image(self, link: LinkT, camera: str, shot: Shot) -> U8Image:
        """The image of a camera as the embodiment has it."""

    @abstractmethod
    def _unready(self, link: LinkT) -> str:
        """Reason why no motion may begin, or ""."""

    @abstractmethod
    def _interruption_of_base(self, link: LinkT, command: MoveBase | RotateBase) -> base_motion.Fault:
        """Function that returns why a motion of the base must end now, or ""."""

    @abstractmethod
    def _perform(self, link: LinkT, command: Command, here: Mapping[str, float]) -> str:
        """Performs a command that is within the limits; returns why it did not complete, or ""."""

    @abstractmethod
    def _halt(self, link: LinkT) -> None:
        """Sends zero to the base, and lets the joints hold."""

    @abstractmethod
    def _wait_at_rest(self, link: LinkT) -> None:
        """Waits until the joints are measured at rest."""
