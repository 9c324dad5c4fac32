"""Any arm behind ros2_control, as a robot: UR5e, FR3, xArm6.

It sends whole trajectories to a JointTrajectoryController and believes the arm's own joint states alone: a motion ends
when the joints are measured at rest at its end.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ferry_ros.drivers.ros2_control.link import ArmLink
from ferry_ros.drivers.ros2_control.motion import ArmMotion, ArmTuning
from ferry_ros.drivers.ros_camera import CameraTuning, RosCamera
from ferry_ros.drivers.vendor_node import claim_in_domain
from robots.arms.kinematics import Kinematics
from robots.arms.planner import ArmPlanner, Refused
from robots.command import Chunk, Command, Stop
from robots.embodiment import Embodiment
from robots.embodiments import ros2_control_arms
from robots.errors import NotConnected, RobotError
from robots.limits import limit
from robots.observation import Observation
from robots.processes.lock import Lock
from robots.robot import Connected, Health, Sent
from robots.spec import CameraSpec

BACK_S = 1.0
"""Time for DDS to connect to a controller that may be a new one after a silence [s]."""


@dataclass(frozen=True)
class Ros2ControlArmOptions:
    """Parameters of an arm behind ros2_control.

    Attributes:
        arm: preset: ur5e, fr3 or xarm6.
        namespace: of the arm's topics; empty for the root.
        controller: name of its trajectory controller; empty for the preset's usual one.
        gripper_controller: name of the gripper's trajectory controller; one with a slash in it is the name of its
            GripperCommand action instead, e.g. franka_gripper/gripper_action; "usual" is the preset's trajectory
            controller, "action" the preset's action, empty no gripper.
        joint_states_topic: topic of its joint states.
        speed: fraction of the joints' top speeds, in (0, 1].
        cartesian: whether it takes Cartesian chunks and keeps to its workspace; needs Pinocchio.
        floor_m: lowest height of the fingertips in the base frame [m]: the surface that the arm is mounted on.
        urdf: path of a URDF with a link `tip`, of a calibrated arm or one with another tool; empty for the preset's.
        camera_topic: images of the first camera; empty for none.
        camera_name: name that a policy's camera is bound to.
        camera_height: of its images, in pixels.
        camera_width: of its images, in pixels.
        camera_fov_deg: its vertical field of view [degrees]; 42.5 is a RealSense D435's colour camera at 16:9.
        camera2_topic: images of the second camera; empty for none.
        camera2_name: its name.
        camera2_height: of its images, in pixels.
        camera2_width: of its images, in pixels.
        camera2_fov_deg: its vertical field of view [degrees].
        stale_s: joint states that are older stop the arm.
        connect_timeout_s: timeout of the first messages of the arm and its cameras [s].
    """

    arm: str = "ur5e"
    namespace: str = ""
    controller: str = ""
    gripper_controller: str = "usual"
    joint_states_topic: str = "joint_states"
    speed: float = 1.0
    cartesian: bool = True
    floor_m: float = 0.0
    urdf: str = ""
    camera_topic: str = "camera/color/image_raw"
    camera_name: str = "external"
    camera_height: int = 720
    camera_width: int = 1280
    camera_fov_deg: float = 42.5
    camera2_topic: str = ""
    camera2_name: str = "wrist"
    camera2_height: int = 480
    camera2_width: int = 640
    camera2_fov_deg: float = 42.5
    stale_s: float = 0.3
    connect_timeout_s: float = 10.0


class Ros2ControlArm(Connected):
    """An arm, its gripper and up to two cameras, behind ROS topics."""

    def __init__(self, options: Ros2ControlArmOptions | None = None) -> None:
        self.options = options or Ros2ControlArmOptions()
        self._preset = ros2_control_arms.arm(self.options.arm)
        named = {"usual": self._preset.gripper.controller, "action": self._preset.gripper.action}
        self._gripper = named.get(self.options.gripper_controller, self.options.gripper_controller)
        cameras = tuple(spec for spec, _ in self._cameras_wanted())
        whole = self._preset.embodiment(cameras, bool(self._gripper), self.options.cartesian, self.options.floor_m)
        self._spec = whole.slowed(self.options.speed)
        self._link: ArmLink | None = None
        self._lock: Lock | None = None
        self._motion: ArmMotion | None = None
        self._planner: ArmPlanner | None = None
        self._cameras: list[RosCamera] = []
        self._moving = threading.Lock()
        self._seen_ns = -1

    @property
    def spec(self) -> Embodiment:
        """The arm with the cameras of the options."""
        return self._spec

    def connect(self) -> None:
        """Waits for joint states, controllers and images; ConnectionFailed names the missing one."""
        options, controller = self.options, self.options.controller or self._preset.controller
        joints = tuple(self._preset.joints)
        planner = self._planner = ArmPlanner(self._spec, joints, self._kinematics(), self._preset.decel_radps2)
        self._lock = claim_in_domain(f"arm {controller}", options.namespace)
        try:
            link = ArmLink(self._preset, options.namespace, controller, self._gripper, options.joint_states_topic)
            self._link = link
            self._cameras = [
                RosCamera(link.link.node, spec, topic, CameraTuning()) for spec, topic in self._cameras_wanted()
            ]
            link.link.spin()
            link.wait(options.connect_timeout_s)
            for camera in self._cameras:
                camera.connect(options.connect_timeout_s)
            decel_radps2 = self._preset.decel_radps2
            self._motion = ArmMotion(link, planner, decel_radps2, lambda: self._fault(link), ArmTuning())
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Disconnects; the controllers hold the arm in position. Idempotent."""
        self.stop()
        with self._moving:
            link, lock, self._link, self._lock, self._motion = self._link, self._lock, None, None, None
            if link:
                link.close()
            if lock:
                lock.release()

    def observe(self) -> Observation:
        """Images and joints that are newer than those of the last observation; stamped with the oldest of them.

        Raises RobotError when a camera or the joint states are silent or frozen.
        """
        link = self._require("observe")
        shots = [camera.wait(self._seen_ns, camera.tuning.stale_s) for camera in self._cameras]
        if not link.feedback.wait(self._seen_ns, self.options.stale_s):
            raise RobotError(f"feedback stale: {link.feedback.topic} is silent for {link.feedback.age_s:.2f} s")
        self._seen_ns = min([link.feedback.stamp_ns, *(shot.stamp_ns for shot in shots)])  # there may be none
        positions = link.positions()
        state = np.array([positions[name] for name in self._spec.state["joints"].names], dtype=np.float32)
        images = {camera.spec.name: camera.image(shot) for camera, shot in zip(self._cameras, shots)}
        return Observation(self._seen_ns, images, {"joints": state})

    def execute(self, command: Command) -> Sent:
        """Plans and sends a command; returns once the joints are measured at rest at its end, or why they are not."""
        link = self._require("execute")
        with self._moving:
            current = link.positions()
            sent = limit(command, self._spec, current)
            if sent.refused or isinstance(command, Stop):
                return sent
            motion, planner = self._motion, self._planner
            assert motion is not None  # made with the link
            assert planner is not None
            motion.begin()
            try:
                plan = planner.plan(sent.command, current)
            except Refused as error:
                return Sent(command, refused=str(error))
            if not (plan.arm or plan.gripper):
                return sent
            if fault := self._fault(link):
                return Sent(command, refused=fault)
            joins = isinstance(sent.command, Chunk) and sent.command.joins
            return replace(sent, blocked=motion.run(plan, joins))

    @property
    def following(self) -> bool:
        """Whether a chunk runs that another may be joined on to."""
        return self._motion is not None and self._motion.following

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk` on to the one that runs; the arm keeps moving."""
        link = self._require("join")
        assert self._motion is not None  # made with the link
        if fault := self._fault(link):
            return Sent(chunk, refused=fault)
        return self._motion.join(chunk, sensed_ns)

    def stop(self) -> None:
        """Ends a running motion: the arm slows down evenly and holds, the gripper keeps its command."""
        motion = self._motion
        if motion:
            motion.stop()

    def health(self) -> Health:
        """Health by the last messages: e-stop, stale joint states, a controller or a camera that is gone."""
        link = self._link
        if link is None or self._motion is None:
            return Health(fault="not connected: connect() was not called")
        faults = (camera.fault for camera in self._cameras)
        fault = self._fault(link) or next((text for text in faults if text), "")
        return Health(runstop=not link.running, fault=fault, notes={"joint_states_age_s": link.feedback.age_s})

    def _fault(self, link: ArmLink) -> str:
        """Reason why the arm must not move, or ""; without the cameras, which a motion does not use."""
        if not link.running:
            return f"e-stop: {self._preset.running_topic} is false: the arm permits no motion"
        if link.feedback.fault:
            return link.feedback.fault
        if link.feedback.age_s > self.options.stale_s:
            limit_s = self.options.stale_s
            return f"feedback stale: {link.feedback.topic} is {link.feedback.age_s:.2f} s old, expected {limit_s} s"
        if link.feedback.back_s < BACK_S:
            return (
                f"feedback stale: {link.feedback.topic} came back {link.feedback.back_s:.2f} s ago, expected {BACK_S} s"
            )
        return link.lost

    def _require(self, operation: str) -> ArmLink:
        if self._link is None or self._motion is None:
            raise NotConnected(self._spec.name, operation)
        return self._link

    def _kinematics(self) -> Kinematics | None:
        if not self.options.cartesian:
            return None
        text = Path(self.options.urdf).read_text() if self.options.urdf else self._preset.urdf(bool(self._gripper))
        return Kinematics(text, tuple(self._preset.joints), "tip")

    def _cameras_wanted(self) -> list[tuple[CameraSpec, str]]:
        options = self.options
        first = (
            options.camera_topic,
            options.camera_name,
            options.camera_height,
            options.camera_width,
            options.camera_fov_deg,
        )
        second = (
            options.camera2_topic,
            options.camera2_name,
            options.camera2_height,
            options.camera2_width,
            options.camera2_fov_deg,
        )
        return [(CameraSpec(name, high, wide, fov), topic) for topic, name, high, wide, fov in (first, second) if topic]
