"""The topics and services of a LoCoBot under the Interbotix ROS 2 packages, with a Kobuki base.

Names are those of Interbotix/interbotix_ros_rovers, branch humble, relative to the robot's namespace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from geometry_msgs.msg import Twist
from sensor_msgs.msg import BatteryState, CameraInfo

from ferry_ros import interfaces
from ferry_ros.drivers.joint_feedback import JointFeedback
from ferry_ros.drivers.odometry import OdometryFeedback
from ferry_ros.drivers.ros_camera import SENSOR
from ferry_ros.drivers.vendor_node import Link
from ferry_ros.messages import qos
from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.timer import steady_timer
from robots.cameras.letterbox import lens_fov_deg
from robots.embodiments.locobot import PAN, TILT, locobot
from robots.errors import ConnectionFailed, RobotError
from robots.plausibility import of_joints

BODY = locobot()
"""Embodiment of the ranges and top speeds for plausibility, also when it is driven slower."""

GROUP = "camera"
"""The xs_sdk's name for the two head motors (locobot_*.yaml, groups)."""

MOTORS = {PAN: ("pan", 1.0), TILT: ("tilt", -1.0)}
"""Our joint -> the vendor's and its sign: it counts tilt downwards."""

BUMPERS = ("left", "centre", "right")
TORQUE_PERIOD_S = 1.0
"""Period of the torque query to the head motors."""

ANSWER_S = 3.0
"""Longest wait for its answer: an xs_sdk that was started anew never answers what the one before was asked."""

MATCH_S = 0.5
"""DDS may report a reader before that reader receives: messages in between are lost. During this time two publishers of
one quantity are detected as well [s]."""


class InterbotixLink:
    """Topics and services of the robot.

    Attributes:
        feedback: of the two head motors.
        odometry: of the wheels.
        pressed: the bumpers that are pressed now, and the monotonic time when they were.
        presses: number of presses so far.
        torque: the head motors have torque, by their last report.
        battery: charge in [0, 1]; None where the base does not report it.
        lens_deg: vertical field of view by the camera's calibration; 0 before it was received.
    """

    def __init__(self, namespace: str, topics: Mapping[str, str]) -> None:
        for package in ("interbotix_xs_msgs", *(["kobuki_ros_interfaces"] if topics["bumper"] else [])):
            interfaces.ensure(package)
        self.link = Link("ferry_locobot", namespace)
        self.pressed: dict[int, float] = {}
        self.presses, self.torque, self.lens_deg = 0, True, 0.0
        self.battery: float | None = None
        self._asking: Any = None
        self._asked_s = 0.0
        self._topics = topics
        self._connect_head(topics)
        self._connect_base(topics)

    def _connect_head(self, topics: Mapping[str, str]) -> None:
        from interbotix_xs_msgs.msg import JointGroupCommand  # type: ignore[import-not-found]
        from interbotix_xs_msgs.srv import RegisterValues, RobotInfo  # type: ignore[import-not-found]

        node = self.link.node
        self._group: Any = JointGroupCommand
        self._registers: Any = RegisterValues
        self._info: Any = RobotInfo
        joints = of_joints(BODY)
        possible = {motor: joints[joint].times(sign) for joint, (motor, sign) in MOTORS.items()}
        self.feedback = JointFeedback(node, topics["joint_states"], possible)
        self._head = node.create_publisher(JointGroupCommand, "commands/joint_group", qos.NEWEST)
        self._limits = node.create_client(RobotInfo, "get_robot_info")
        self._torque = node.create_client(RegisterValues, "get_motor_registers")
        node.create_subscription(CameraInfo, topics["camera_info"], self._take_camera_info, SENSOR)
        steady_timer(node, TORQUE_PERIOD_S, self._ask_torque)

    def _connect_base(self, topics: Mapping[str, str]) -> None:
        node = self.link.node
        self._velocity = node.create_publisher(Twist, topics["cmd_vel"], qos.NEWEST)
        assert BODY.base is not None  # the table has one
        self.odometry = OdometryFeedback(node, topics["odom"], SENSOR, BODY.base)
        node.create_subscription(BatteryState, topics["battery"], self._take_battery, SENSOR)
        if topics["bumper"]:
            from kobuki_ros_interfaces.msg import BumperEvent  # type: ignore[import-not-found]

            node.create_subscription(BumperEvent, topics["bumper"], self._take_bumper, qos.EVERY)

    def wait(self, timeout_s: float) -> dict[str, tuple[float, float]]:
        """Returns once head, base and camera publish and subscribe: our joint -> its range as the xs_sdk has it [rad].

        Raises ConnectionFailed, which names what is missing and what to check.
        """
        ends_s = time.monotonic() + timeout_s
        if not self.feedback.wait(-1, timeout_s):
            self._believe()
            raise ConnectionFailed(
                f"locobot: {self._topics['joint_states']} does not publish {', '.join(self.feedback.missing)} within"
                f" {timeout_s} s; is xslocobot_control running, in this namespace?"
            )
        wanted: list[tuple[Callable[[], bool], str]] = [
            (
                lambda: self.odometry.age_s < 1.0,
                f"nothing on {self._topics['odom']}; is the base on, and use_base:=true?",
            ),
            (lambda: self._velocity.get_subscription_count() > 0, f"no node subscribes to {self._topics['cmd_vel']}"),
            (lambda: self._head.get_subscription_count() > 0, "no node subscribes to commands/joint_group: no xs_sdk"),
            (lambda: self.lens_deg > 0, f"nothing on {self._topics['camera_info']}; is use_camera:=true?"),
        ]
        for there, problem in wanted:
            while not there():
                if time.monotonic() > ends_s:
                    self._believe()
                    raise ConnectionFailed(f"locobot: {problem}")
                time.sleep(0.02)
        time.sleep(MATCH_S)
        self._believe()
        return self._ranges(timeout_s)

    def _ranges(self, timeout_s: float) -> dict[str, tuple[float, float]]:
        try:
            info = services.call(self._limits, self._info.Request(cmd_type="group", name=GROUP), timeout_s)
            torque = services.call(self._torque, self._torque_request(), timeout_s)
        except RobotError as error:
            raise ConnectionFailed(f"locobot: {error}") from error
        self.torque = all(torque.values)
        reported = dict(zip(info.joint_names, zip(info.joint_lower_limits, info.joint_upper_limits)))
        ranges = {}
        for joint, (motor, sign) in MOTORS.items():
            if motor not in reported:
                raise ConnectionFailed(f"locobot: its group '{GROUP}' has {list(reported)}, expected pan and tilt")
            low, high = sorted(sign * float(end) for end in reported[motor])
            ranges[joint] = (low, high)
        return ranges

    @property
    def implausible(self) -> str:
        """Fault of the feedback of head or wheels; empty when it is plausible."""
        return self.feedback.fault or self.odometry.fault

    def _believe(self) -> None:
        if fault := self.implausible:
            raise ConnectionFailed(f"locobot: {fault}")

    @property
    def bumper(self) -> str:
        """The pressed bumpers in words; empty when none is. A base that was started anew reports new presses."""
        now = [number for number, at_s in sorted(self.pressed.items()) if at_s >= self.odometry.back_at_s]
        return " and ".join(BUMPERS[number] if number < len(BUMPERS) else str(number) for number in now)

    def head(self) -> dict[str, float]:
        """Our two joints [rad]."""
        reported = self.feedback.positions()
        return {joint: sign * reported[motor] for joint, (motor, sign) in MOTORS.items()}

    def send_head(self, positions: Mapping[str, float]) -> None:
        """Sends both joints [rad], within their ranges; they go there at once, and there is no timeout on it."""
        wanted, joints = {**self.head(), **positions}, BODY.joints
        inside = {name: min(max(at, joints[name].low), joints[name].high) for name, at in wanted.items()}
        values = [sign * inside[joint] for joint, (_, sign) in MOTORS.items()]
        self._head.publish(self._group(name=GROUP, cmd=values))

    def send_velocity(self, forward_mps: float, turn_radps: float) -> None:
        """A Kobuki holds it for up to 2 s (kobuki_node_params.yaml); nothing here waits for that."""
        twist = Twist()
        twist.linear.x, twist.angular.z = forward_mps, turn_radps
        self._velocity.publish(twist)

    def close(self) -> None:
        """Lets the topics go."""
        self.link.close()

    def _torque_request(self) -> Any:
        return self._registers.Request(cmd_type="group", name=GROUP, reg="Torque_Enable")

    def _ask_torque(self) -> None:
        waiting = self._asking is not None and not self._asking.done()
        if self._torque.service_is_ready() and not (waiting and time.monotonic() - self._asked_s < ANSWER_S):
            self._asked_s = time.monotonic()
            self._asking = self._torque.call_async(self._torque_request())
            self._asking.add_done_callback(self._take_torque)

    def _take_torque(self, future: Any) -> None:
        values = list(future.result().values) if future.exception() is None and not future.cancelled() else []
        self.torque = all(values) if values else self.torque

    def _take_battery(self, message: BatteryState) -> None:
        self.battery = message.percentage if 0.0 <= message.percentage <= 1.0 else None  # NaN: not reported

    def _take_camera_info(self, message: CameraInfo) -> None:
        if message.k[4] > 0:
            self.lens_deg = lens_fov_deg(message.k[4], message.height)

    def _take_bumper(self, message: Any) -> None:
        if message.state == message.PRESSED:
            self.pressed[int(message.bumper)] = time.monotonic()
            self.presses += 1
        else:
            self.pressed.pop(int(message.bumper), None)
