"""The LoCoBot behind the Interbotix ROS 2 packages: xs_sdk for the head, a Kobuki for the base, a RealSense.

The base takes velocities, which are steered here on the odometry and always end in an explicit zero; the head takes
positions, which are streamed here at the table's speed. A motion ends when both are measured at rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ferry_ros.drivers import base_motion
from ferry_ros.drivers.interbotix.link import MOTORS, InterbotixLink
from ferry_ros.drivers.joint_stream import SHORT, Arrival, JointPort, JointStream, Positions, wait_at_rest
from ferry_ros.drivers.mobile_robot import MobileRobot
from ferry_ros.drivers.ros_camera import CameraTuning, RosCamera, Shot
from robots.cameras.letterbox import fov_scale, letterbox
from robots.command import Command, JointTarget, LookAt, MoveBase, MoveJoint, RotateBase
from robots.embodiments.locobot import IMAGE_FOV_DEG, LENS_FOV_DEG, camera_slots, locobot
from robots.errors import RobotError
from robots.limits import HEAD_JOINTS
from robots.robot import Health
from robots.spec import CameraSpec, U8Image

ARRIVAL = Arrival(0.01, 0.03)
"""A Dynamixel ends within its dead band and backlash of 0.25 degrees (XL430 data sheet); 0.03 rad under load."""

BACK_S = 1.0
"""Time for DDS to connect to a driver that may be a new one after a silence [s]."""


@dataclass(frozen=True)
class LocobotInterbotixOptions:
    """Parameters of a LoCoBot behind the Interbotix ROS 2 packages.

    Attributes:
        namespace: of the robot, its `robot_name`.
        speed: fraction of the robot's top speeds, in (0, 1].
        height: of the images in observations, in pixels.
        width: of the images in observations, in pixels.
        image_fov_deg: their vertical field of view [degrees]; the part that the camera does not cover is black.
        camera_slots: actions that move the camera, see `embodiments.locobot.camera_slots`; empty: the default.
        camera_topic: of the RealSense's colour images; one that ends in /compressed is taken as such.
        camera_info_topic: of its calibration.
        camera_height: of its images, in pixels; xslocobot_control asks for 640x480.
        camera_width: of its images, in pixels.
        joint_states_topic: of the xs_sdk.
        cmd_vel_topic: of the base; a Create 3 has mobile_base/cmd_vel.
        odom_topic: of the base; a Create 3 has mobile_base/odom.
        bumper_topic: kobuki_ros_interfaces/BumperEvent of a Kobuki; empty for a base without: then contact is detected
            by the odometry alone.
        battery_topic: sensor_msgs/BatteryState of the base.
        stale_s: joint states or odometry silent for so many seconds are stale.
        camera_stale_s: a camera silent for so many seconds is frozen.
        connect_timeout_s: timeout of each step of connecting [s].
        observe_timeout_s: timeout of an observation newer than the last motion [s].
    """

    namespace: str = "/locobot"
    speed: float = 1.0
    height: int = 720
    width: int = 1280
    image_fov_deg: float = IMAGE_FOV_DEG
    camera_slots: str = ""
    camera_topic: str = "camera/color/image_raw"
    camera_info_topic: str = "camera/color/camera_info"
    camera_height: int = 480
    camera_width: int = 640
    joint_states_topic: str = "dynamixel/joint_states"
    cmd_vel_topic: str = "mobile_base/commands/velocity"
    odom_topic: str = "odom"
    bumper_topic: str = "events/bumper"
    battery_topic: str = "sensors/battery_state"
    stale_s: float = 0.5
    camera_stale_s: float = 0.4
    connect_timeout_s: float = 5.0
    observe_timeout_s: float = 1.0


class LocobotInterbotix(MobileRobot[InterbotixLink]):
    """Drives the vendor's nodes, which must run already."""

    def __init__(self, options: LocobotInterbotixOptions | None = None) -> None:
        self.options = o = options or LocobotInterbotixOptions()
        table = locobot(camera_slots(o.camera_slots), o.image_fov_deg)
        camera = replace(table.cameras[0], height=o.height, width=o.width)
        table = table.with_cameras(camera).slowed(o.speed)
        super().__init__(table, ("interbotix", o.namespace), o.observe_timeout_s)
        self._looking = False  # the head was sent somewhere and has not been measured at rest

    def health(self) -> Health:
        """Health by the last messages: stale feedback, motors without torque, a frozen camera."""
        link, cameras = self._link, list(self._cameras.values())
        if link is None or not self._ready or not cameras:
            return Health(fault="not connected")
        filled = min(1.0, fov_scale(link.lens_deg, self._spec.cameras[0].vertical_fov_deg)) if link.lens_deg else 0.0
        notes = {"image_filled": filled, "odom_age_s": link.odometry.age_s}
        return Health(fault=self._fault(link) or cameras[0].fault, battery=link.battery, notes=notes)

    def _open(self) -> InterbotixLink:
        o = self.options
        link = InterbotixLink(o.namespace, self._topics())
        lens = CameraSpec("navigation", o.camera_height, o.camera_width, LENS_FOV_DEG[1])
        camera = RosCamera(link.link.node, lens, o.camera_topic, CameraTuning(o.camera_stale_s))
        self._cameras = {self._table.cameras[0].name: camera}
        return link

    def _prepare(self, link: InterbotixLink) -> None:
        link.link.spin()
        self._narrow(link.wait(self.options.connect_timeout_s))
        for camera in self._cameras.values():
            camera.connect(self.options.connect_timeout_s)

    def _leave(self, link: InterbotixLink) -> None:
        link.send_velocity(0.0, 0.0)

    def _positions(self, link: InterbotixLink) -> dict[str, float]:
        return link.head()

    def _joints_after(self, link: InterbotixLink, after_ns: int) -> tuple[int, Positions]:
        if not link.feedback.wait(after_ns, self.options.observe_timeout_s):
            raise RobotError(f"feedback stale: {link.feedback.topic} is silent for {link.feedback.age_s:.2f} s")
        return link.feedback.stamp_ns, link.head()

    def _image(self, link: InterbotixLink, camera: str, shot: Shot) -> U8Image:
        return letterbox(self._cameras[camera].image(shot), link.lens_deg, self._spec.cameras[0])

    def _perform(self, link: InterbotixLink, command: Command, here: Mapping[str, float]) -> str:
        if isinstance(command, (MoveBase, RotateBase)):
            assert self._spec.base is not None  # the table has one
            return self._drive(link, command, self._spec.base)
        if isinstance(command, MoveJoint):
            return self._look(link, {command.joint: here[command.joint] + command.delta}, 0.0)
        if isinstance(command, JointTarget):
            return self._look(link, dict(zip(command.joints, command.positions)), command.duration_s)
        if isinstance(command, LookAt):
            return self._look(link, dict(zip(HEAD_JOINTS, (command.pan_rad, command.tilt_rad))), 0.0)
        return f"{self._spec.name} cannot {type(command).__name__.lower()}"

    def _interruption_of_base(self, link: InterbotixLink, command: MoveBase | RotateBase) -> base_motion.Fault:
        """A pressed bumper ends a step; away from it, a step may begin."""
        forwards, presses = isinstance(command, MoveBase) and command.distance_m > 0, link.presses

        def fault() -> str:
            if link.bumper and (forwards or link.presses > presses):
                return f"contact: the {link.bumper} bumper is pressed"
            return self._interruption(link)

        return fault

    def _look(self, link: InterbotixLink, targets: dict[str, float], duration_s: float) -> str:
        self._looking, here = True, link.head()
        speeds = {name: self._spec.joints[name].max_speed for name in targets}
        if duration_s > 0:
            speeds = {n: max(1e-3, min(s, abs(targets[n] - here[n]) / duration_s)) for n, s in speeds.items()}
        port = JointPort(link.send_head, link.head, lambda: self._interruption(link))
        reason = JointStream(port, targets, speeds, dict.fromkeys(targets, ARRIVAL)).run()
        if not reason.startswith(SHORT):
            if not reason:
                link.send_head(targets)
                self._looking = False
            return reason
        return f"contact: {reason.removeprefix(SHORT)}"

    def _interruption(self, link: InterbotixLink) -> str:
        return "stopped" if self._stop.is_set() else self._fault(link)

    def _unready(self, link: InterbotixLink) -> str:
        return self._fault(link)

    def _fault(self, link: InterbotixLink) -> str:
        if link.implausible:
            return link.implausible
        stale: list[tuple[str, Callable[[], float]]] = [
            (link.feedback.topic, lambda: link.feedback.age_s),
            (self.options.odom_topic, lambda: link.odometry.age_s),
        ]
        for topic, age in stale:
            if age() > self.options.stale_s:
                return f"feedback stale: {topic} is silent for {age():.2f} s, expected at most {self.options.stale_s} s"
        if link.feedback.back_s < BACK_S:
            return f"feedback stale: {link.feedback.topic} came back {link.feedback.back_s:.2f} s ago"
        return "" if link.torque else "motors off: the head has no torque; call torque_enable, or reboot_motors"

    def _halt(self, link: InterbotixLink) -> None:
        """Zero to the base, and a head that was moving holds where it was measured, if that can be believed."""
        link.send_velocity(0.0, 0.0)
        if self._looking and link.feedback.age_s < self.options.stale_s and not link.feedback.fault:
            link.send_head(link.head())

    def _wait_at_rest(self, link: InterbotixLink) -> None:
        wait_at_rest(lambda: self._news(link), dict.fromkeys(MOTORS, ARRIVAL))
        self._looking = False

    def _news(self, link: InterbotixLink) -> Positions | None:
        """The head as measured from now on; None when nothing comes that can be believed."""
        received = link.feedback.wait(time.monotonic_ns(), self.options.stale_s)
        return link.head() if received and not link.implausible else None

    def _narrow(self, ranges: dict[str, tuple[float, float]]) -> None:
        joints = dict(self._table.joints)
        for name in MOTORS:
            low, high = ranges[name]
            joints[name] = replace(joints[name], low=max(joints[name].low, low), high=min(joints[name].high, high))
        self._spec = replace(self._table, joints=joints)

    def _topics(self) -> dict[str, str]:
        o = self.options
        return {
            "joint_states": o.joint_states_topic,
            "camera_info": o.camera_info_topic,
            "cmd_vel": o.cmd_vel_topic,
            "odom": o.odom_topic,
            "bumper": o.bumper_topic,
            "battery": o.battery_topic,
        }
