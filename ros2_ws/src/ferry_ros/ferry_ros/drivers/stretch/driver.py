"""The Stretch RE1 behind the vendor's ROS 2 driver (hello-robot/stretch_ros2, branch humble).

The driver is kept in its navigation mode with streaming position activated: the base takes velocities, which are
steered here on the odometry; every other joint takes positions, which are streamed here. Both ends of a motion are
measured. Its FollowJointTrajectory action is not used: it takes no new goal within 0.2 s of the last, and its types
(control_msgs) are not everywhere.

What the driver does not do is done here: speeds (streamed positions run at the robot's own), limits (it clips in
silence), the base's speed while the arm is out (hello-robot/stretch_body issue 311), and an end to every motion.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ferry_ros.drivers import base_motion
from ferry_ros.drivers.ros_camera import CameraTuning, RosCamera
from ferry_ros.drivers.stretch import qpos, readiness
from ferry_ros.drivers.stretch.joints import StretchJoints
from ferry_ros.drivers.stretch.link import StretchLink
from ferry_ros.drivers.stretch.qpos import GRIPPER
from ferry_ros.drivers.vendor_node import claim_in_domain
from robots.command import (
    Command,
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.embodiment import BaseLimits, Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import HEAD_JOINTS, limit
from robots.observation import Observation
from robots.processes.lock import Lock
from robots.robot import Connected, Health, Sent
from robots.spec import F32Vector


@dataclass(frozen=True)
class StretchRos2Options:
    """Parameters of a Stretch RE1 behind its vendor's ROS 2 driver.

    Attributes:
        namespace: before every topic and service; the vendor's driver has none.
        navigation_topic: image topic of the camera that faces ahead; one that ends in /compressed is taken as such.
        manipulation_topic: image topic of the camera that faces the arm.
        camera_height: height of both images in pixels, after their rotation.
        camera_width: width of both images in pixels, after their rotation.
        quarter_turns_cw: clockwise rotation of both images in steps of 90 degrees, for cameras mounted on their side.
        same_is_frozen: images that stay the same to the last bit count as a frozen camera.
        camera_stale_s: a camera silent for so many seconds is frozen.
        stale_s: joint states or odometry silent for so many seconds are stale, and the driver counts as lost.
        speed: fraction of the robot's top speeds, in (0, 1].
        squeeze_pct: closing target of a grasp, in the vendor's percent; -100 is its full force.
        held_effort_pct: smallest effort of the gripper, in percent, that counts as holding an object.
        connect_timeout_s: timeout of each step of connecting [s].
        observe_timeout_s: timeout of an observation newer than the last motion [s].
    """

    namespace: str = ""
    navigation_topic: str = "navigation_camera/color/image_raw"
    manipulation_topic: str = "manipulation_camera/color/image_raw"
    camera_height: int = 720
    camera_width: int = 1280
    quarter_turns_cw: int = 0
    same_is_frozen: bool = True
    camera_stale_s: float = 0.4
    stale_s: float = 0.5
    speed: float = 1.0
    squeeze_pct: float = -50.0
    held_effort_pct: float = 5.0
    connect_timeout_s: float = 5.0
    observe_timeout_s: float = 1.0


class StretchRos2(Connected):
    """Drives the vendor's `stretch_driver`, which must run already, with a robot that is homed and not runstopped."""

    def __init__(self, options: StretchRos2Options | None = None) -> None:
        self.options = options or StretchRos2Options()
        height, width = self.options.camera_height, self.options.camera_width
        cameras = (replace(camera, height=height, width=width) for camera in STRETCH_RE1.cameras)
        self._table = STRETCH_RE1.with_cameras(*cameras).slowed(self.options.speed)
        self._spec = self._table
        self._link: StretchLink | None = None
        self._lock: Lock | None = None
        self._joints: StretchJoints | None = None
        self._cameras: dict[str, RosCamera] = {}
        self._stop, self._motion = threading.Event(), threading.Lock()
        self._seen_ns = -1

    @property
    def spec(self) -> Embodiment:
        """The robot; once connected, narrowed to what this one robot's calibration allows."""
        return self._spec

    @property
    def pose(self) -> base_motion.Pose:
        """(x_m, y_m, yaw_rad) of the wheel odometry."""
        return self._link.odometry.pose if self._link else (0.0, 0.0, 0.0)

    def connect(self) -> None:
        """Finds the driver, checks that the robot may move, reads its limits and makes it ready; moves nothing.

        Raises ConnectionFailed, which names what to check, and SpecError for images of another size.
        """
        if self._link is not None:
            return
        link = self._link = StretchLink(self.options.namespace)
        try:
            self._lock = claim_in_domain("stretch_ros2", self.options.namespace)
            self._prepare(link)
        except BaseException as error:
            self._let_go(link)
            if type(error) is RobotError:  # what went wrong with the driver, named
                raise ConnectionFailed(str(error)) from error
            raise

    def disconnect(self) -> None:
        """Lets the driver go, with streaming off; it keeps every joint where it is. Also called twice."""
        link = self._link
        if link is None:
            return
        try:
            link.await_stop(1.0)
            if link.offers("deactivate_streaming_position", 0.0):
                link.ask("deactivate_streaming_position", 1.0)
        except RobotError as error:
            link.node.get_logger().warning(f"streaming position stays on: {error}")
        finally:
            self._let_go(link)

    def observe(self) -> Observation:
        """An image of each camera and the joints, all sensed after the last observation and the last motion.

        Raises RobotError ("camera frozen: ...", "feedback stale: ...") when one of them does not come in time.
        """
        link, joints = self._require("observe")
        after_ns, timeout_s = self._seen_ns, self.options.observe_timeout_s
        shots = {name: camera.wait(after_ns, timeout_s) for name, camera in self._cameras.items()}
        feedback = link.wait(after_ns, timeout_s)
        self._seen_ns = min(feedback.stamp_ns, *(shot.stamp_ns for shot in shots.values()))
        images = {name: self._cameras[name].image(shot) for name, shot in shots.items()}
        hand = np.array([float(joints.in_hand)], dtype=np.float32)
        return Observation(self._seen_ns, images, {"joints": self._told(feedback.positions), "hand": hand})

    def execute(self, command: Command) -> Sent:
        """Executes a command within the limits; returns once the robot is measured at rest."""
        link, joints = self._require("execute")
        with self._motion:
            self._stop.clear()
            here = link.feedback.positions
            sent = limit(command, self._spec, here)
            if sent.refused or isinstance(command, Done):
                return sent
            if isinstance(command, Stop):
                self._halt(link, joints)
                return sent
            if refusal := self._unready(link, joints):
                return replace(sent, refused=refusal)
            return replace(sent, blocked=self._move(link, joints, sent.command, here))

    def stop(self) -> None:
        """The base ramps down, the joints hold where they were measured, the gripper keeps what it was sent to."""
        self._stop.set()
        link, joints = self._link, self._joints
        if link and joints and not self._motion.locked():  # a running motion ends itself
            self._halt(link, joints)

    def health(self) -> Health:
        """Health by the driver's last messages."""
        link = self._link
        if link is None:
            return Health(fault="not connected")
        notes = {} if link.voltage_v is None else {"voltage_v": link.voltage_v}
        return Health(link.flags.get("is_runstopped", False), self._fault(link), link.percentage, notes)

    def _prepare(self, link: StretchLink) -> None:
        o, topics = self.options, (self.options.navigation_topic, self.options.manipulation_topic)
        tuning = CameraTuning(o.camera_stale_s, o.same_is_frozen, o.quarter_turns_cw)
        self._cameras = {
            spec.name: RosCamera(link.node, spec, topic, tuning) for spec, topic in zip(self._table.cameras, topics)
        }
        link.spin()
        readiness.find(link, o.connect_timeout_s)
        ranges = link.limits(o.connect_timeout_s)
        self._spec = qpos.narrowed(self._table, ranges)
        readiness.engage(link, o.connect_timeout_s)
        for camera in self._cameras.values():
            camera.connect(o.connect_timeout_s)
        self._joints = StretchJoints(
            link, self._spec.joints, ranges, o.squeeze_pct, o.held_effort_pct, lambda: self._interruption(link)
        )

    def _let_go(self, link: StretchLink) -> None:
        lock, self._lock = self._lock, None
        self._link, self._joints, self._cameras, self._spec = None, None, {}, self._table
        link.close()
        if lock:
            lock.release()

    def _require(self, operation: str) -> tuple[StretchLink, StretchJoints]:
        if self._link is None or self._joints is None:
            raise NotConnected(self._spec.name, operation)
        return self._link, self._joints

    def _told(self, positions: Mapping[str, float]) -> F32Vector:
        """Fingers that press on each other are closed; a joint that is pushed past its range is at its end."""
        spec = self._spec.state["joints"]
        values = [min(max(positions[name], low), high) for name, low, high in zip(spec.names, spec.low, spec.high)]
        return np.array(values, dtype=np.float32)

    def _fault(self, link: StretchLink) -> str:
        frozen = (camera.fault for camera in list(self._cameras.values()))
        stale = readiness.stale(link, self.options.stale_s)
        reasons = (link.implausible, stale, readiness.fault(link), *frozen)
        return next((reason for reason in reasons if reason), "")

    def _unready(self, link: StretchLink, joints: StretchJoints) -> str:
        """Reason why nothing may be sent, or "". Prepares a driver again that was restarted or in another mode."""
        if refusal := self._fault(link) or readiness.runstop(link):
            return refusal
        if not readiness.engaged(link):
            if link.texts.get("mode") not in readiness.TAKES_COMMANDS:
                return f"mode: the driver is in '{link.texts.get('mode')}' and takes no commands"
            try:
                readiness.engage(link, 2.0)
            except RobotError as error:
                return str(error)
        joints.settle()
        return ""

    def _interruption(self, link: StretchLink) -> str:
        """Reason why a motion must end now, or ""."""
        if self._stop.is_set():
            return "stopped"
        stale = readiness.stale(link, self.options.stale_s)
        if reason := readiness.runstop(link) or link.implausible or stale:
            return reason
        return "" if readiness.engaged(link) else f"mode: the driver went to '{link.texts.get('mode')}'"

    def _move(self, link: StretchLink, joints: StretchJoints, command: Command, here: Mapping[str, float]) -> str:
        reason = "the motion failed"
        try:
            reason = self._perform(link, joints, command, here)
        finally:
            if reason:
                self._halt(link, joints)
            if reason and not isinstance(command, (MoveBase, RotateBase)):  # a base was measured to be at rest
                joints.wait_at_rest(self.options.stale_s)
            self._seen_ns = time.monotonic_ns()
        return reason

    def _perform(self, link: StretchLink, joints: StretchJoints, command: Command, here: Mapping[str, float]) -> str:
        """Carries out a command that is within the limits; returns why it did not happen, or nothing."""
        if isinstance(command, (MoveBase, RotateBase)):
            return self._drive(link, command)
        if isinstance(command, MoveJoint):
            return joints.reach({command.joint: here[command.joint] + command.delta})
        if isinstance(command, SetGripper):
            return joints.reach({GRIPPER: command.aperture_m})
        if isinstance(command, JointTarget):
            return joints.reach(dict(zip(command.joints, command.positions)), command.duration_s)
        if isinstance(command, LookAt):
            return joints.reach(dict(zip(HEAD_JOINTS, (command.pan_rad, command.tilt_rad))))
        if isinstance(command, Grasp):
            return joints.grasp()
        assert isinstance(command, Release)  # limits let nothing else through
        return joints.reach({GRIPPER: self._spec.joints[GRIPPER].high})

    def _drive(self, link: StretchLink, command: MoveBase | RotateBase) -> str:
        assert self._spec.base is not None  # an RE1 has one
        limits = speed_limited(self._spec.base, link.feedback.positions, self.options.speed)
        port = base_motion.BasePort(link.send_velocity, lambda: link.odometry.pose, lambda: self._interruption(link))
        if isinstance(command, MoveBase):
            return base_motion.drive(port, limits, command.distance_m)
        return base_motion.turn(port, limits, command.angle_rad)

    def _halt(self, link: StretchLink, joints: StretchJoints) -> None:
        """Zero to the base, a hold to the joints, the driver's own stop; and then the hold again, because that stop
        takes the force away with which a gripper holds what is in it."""
        link.send_velocity(0.0, 0.0)
        unknown = link.implausible or readiness.stale(link, self.options.stale_s)
        driven = readiness.engaged(link) and not unknown
        if driven:
            joints.hold()
        stopping = link.stop_all()
        if stopping is not None and driven:
            stopping.add_done_callback(lambda _: joints.repeat())


def speed_limited(base: BaseLimits, positions: Mapping[str, float], fraction: float = 1.0) -> BaseLimits:
    """The base is slow unless lift, arm and wrist are stowed: in velocity mode, where the vendor's sentry forgets it.

    Source: hello-robot/stretch_body, base.py and sentry_max_velocity in robot_params_RE1V0.py; its issue 311.
        `fraction`
    is that of the top speeds that the robot may move with.
    """
    lift, arm, wrist = (positions[name] for name in ("joint_lift", "joint_arm", "joint_wrist_yaw"))
    if lift < 0.3 and arm < 0.03 and wrist > 2.54:
        return base
    slow_mps, slow_mps2, wheels_m = 0.10, 0.15, 0.3153
    return replace(
        base,
        max_speed_mps=min(base.max_speed_mps, fraction * slow_mps),
        max_turn_radps=min(base.max_turn_radps, fraction * 2 * slow_mps / wheels_m),
        max_decel_mps2=min(base.max_decel_mps2, slow_mps2),
        max_turn_decel_radps2=min(base.max_turn_decel_radps2, 2 * slow_mps2 / wheels_m),
    )
