"""The Stretch RE1 behind the vendor's ROS 2 driver (hello-robot/stretch_ros2, branch humble).

The driver is kept in its navigation mode with streaming position activated: the base takes velocities, which are
steered here on the odometry; every other joint takes positions, which are streamed here. Both ends of a motion are
measured. Its FollowJointTrajectory action is not used: it takes no new goal within 0.2 s of the last, and its types
(control_msgs) are not everywhere.

What the driver does not do is done here: speeds (streamed positions run at the robot's own), limits (it clips in
silence), the base's speed while the arm is out (hello-robot/stretch_body issue 311), and an end to every motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ferry_ros.drivers import base_motion
from ferry_ros.drivers.joint_stream import Positions
from ferry_ros.drivers.mobile_robot import MobileRobot
from ferry_ros.drivers.ros_camera import CameraTuning, RosCamera, Shot
from ferry_ros.drivers.stretch import qpos, readiness
from ferry_ros.drivers.stretch.joints import StretchJoints
from ferry_ros.drivers.stretch.link import StretchLink
from ferry_ros.drivers.stretch.qpos import GRIPPER
from robots.command import (
    Command,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
)
from robots.embodiment import BaseLimits
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import RobotError
from robots.limits import HEAD_JOINTS
from robots.robot import Health
from robots.spec import U8Image


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


class StretchRos2(MobileRobot[StretchLink]):
    """Drives the vendor's `stretch_driver`, which must run already, with a robot that is homed and not runstopped."""

    def __init__(self, options: StretchRos2Options | None = None) -> None:
        self.options = o = options or StretchRos2Options()
        cameras = (replace(camera, height=o.camera_height, width=o.camera_width) for camera in STRETCH_RE1.cameras)
        table = STRETCH_RE1.with_cameras(*cameras).slowed(o.speed)
        super().__init__(table, ("stretch_ros2", o.namespace), o.observe_timeout_s)
        self._joints: StretchJoints | None = None

    def health(self) -> Health:
        """Health by the driver's last messages."""
        link = self._link
        if link is None:
            return Health(fault="not connected")
        notes = {} if link.voltage_v is None else {"voltage_v": link.voltage_v}
        return Health(link.flags.get("is_runstopped", False), self._fault(link), link.percentage, notes)

    def _open(self) -> StretchLink:
        o, link = self.options, StretchLink(self.options.namespace)
        tuning = CameraTuning(o.camera_stale_s, o.same_is_frozen, o.quarter_turns_cw)
        topics = (o.navigation_topic, o.manipulation_topic)
        self._cameras = {
            spec.name: RosCamera(link.node, spec, topic, tuning) for spec, topic in zip(self._table.cameras, topics)
        }
        return link

    def _prepare(self, link: StretchLink) -> None:
        o = self.options
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

    def _leave(self, link: StretchLink) -> None:
        """Turns streaming off; the driver keeps every joint where it is."""
        try:
            link.await_stop(1.0)
            if link.offers("deactivate_streaming_position", 0.0):
                link.ask("deactivate_streaming_position", 1.0)
        except RobotError as error:
            link.node.get_logger().warning(f"streaming position stays on: {error}")

    def _positions(self, link: StretchLink) -> dict[str, float]:
        return link.feedback.positions

    def _joints_after(self, link: StretchLink, after_ns: int) -> tuple[int, Positions]:
        feedback = link.wait(after_ns, self.options.observe_timeout_s)
        return feedback.stamp_ns, feedback.positions

    def _image(self, link: StretchLink, camera: str, shot: Shot) -> U8Image:
        return self._cameras[camera].image(shot)

    def _in_hand(self) -> bool:
        return self._moving_joints.in_hand

    @property
    def _moving_joints(self) -> StretchJoints:
        assert self._joints is not None  # it is connected
        return self._joints

    def _fault(self, link: StretchLink) -> str:
        frozen = (camera.fault for camera in list(self._cameras.values()))
        stale = readiness.stale(link, self.options.stale_s)
        reasons = (link.implausible, stale, readiness.fault(link), *frozen)
        return next((reason for reason in reasons if reason), "")

    def _unready(self, link: StretchLink) -> str:
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
        self._moving_joints.settle()
        return ""

    def _interruption(self, link: StretchLink) -> str:
        """Reason why a motion must end now, or ""."""
        if self._stop.is_set():
            return "stopped"
        stale = readiness.stale(link, self.options.stale_s)
        if reason := readiness.runstop(link) or link.implausible or stale:
            return reason
        return "" if readiness.engaged(link) else f"mode: the driver went to '{link.texts.get('mode')}'"

    def _interruption_of_base(self, link: StretchLink, command: MoveBase | RotateBase) -> base_motion.Fault:
        return lambda: self._interruption(link)

    def _perform(self, link: StretchLink, command: Command, here: Mapping[str, float]) -> str:
        joints = self._moving_joints
        if isinstance(command, (MoveBase, RotateBase)):
            assert self._spec.base is not None  # an RE1 has one
            return self._drive(
                link, command, speed_limited(self._spec.base, link.feedback.positions, self.options.speed)
            )
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

    def _halt(self, link: StretchLink) -> None:
        """Zero to the base, a hold to the joints, the driver's own stop; and then the hold again, because that stop
        takes the force away with which a gripper holds what is in it."""
        link.send_velocity(0.0, 0.0)
        joints = self._moving_joints
        unknown = link.implausible or readiness.stale(link, self.options.stale_s)
        driven = readiness.engaged(link) and not unknown
        if driven:
            joints.hold()
        stopping = link.stop_all()
        if stopping is not None and driven:
            stopping.add_done_callback(lambda _: joints.repeat())

    def _wait_at_rest(self, link: StretchLink) -> None:
        self._moving_joints.wait_at_rest(self.options.stale_s)


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
