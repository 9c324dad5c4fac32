"""`fake_xs_sdk`: a LoCoBot without hardware, with the topics and services of the Interbotix ROS 2 packages.

The head's xs_sdk, the Kobuki's node and the RealSense's in one. It can be lost, frozen and have its torque taken while
it runs: set its parameters.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import BatteryState, CameraInfo, Image, JointState
from std_msgs.msg import Header

from ferry_ros import interfaces
from ferry_ros.fakes.locobot_mechanics import RANGES, SPEED_RADPS, Kobuki, Servo
from ferry_ros.fakes.scene import stripes
from ferry_ros.messages import convert, images, qos
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.process import run
from ferry_ros.rclpy_support.timer import steady_timer
from robots.embodiments.locobot import LENS_FOV_DEG
from robots.spec import CameraSpec

GROUP = "camera"


@dataclass(frozen=True)
class FakeXsSdkOptions:
    """Options and faults of the fake; faults can be set while it runs.

    Attributes:
        rate_hz: of the joint states and the odometry.
        height: of an image, in pixels.
        width: of an image, in pixels.
        camera_rate_hz: images a second.
        latency_s: how many seconds later than it came a command takes effect.
        wall_m: distance of a wall ahead of the base's start, in metres.
        battery: charge that the base reports, in [0, 1].
        torque: whether the head motors have torque.
        lost: nothing is published or received, as when the computer is cut off.
        freeze_camera: the same image is repeated.
    """

    rate_hz: float = 100.0
    height: int = 480
    width: int = 640
    camera_rate_hz: float = 30.0
    latency_s: float = 0.02
    wall_m: float | None = None
    battery: float = 0.9
    torque: bool = True
    lost: bool = False
    freeze_camera: bool = False


class FakeXsSdk(Node):
    """Fake of the vendor's nodes."""

    def __init__(self) -> None:
        super().__init__("xs_sdk")
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, FakeXsSdkOptions)
        self._options = parameters.read(self, FakeXsSdkOptions)
        self._servos = {name: Servo(name, self._options.torque) for name in RANGES}
        wall_m = self._options.wall_m
        self._base = Kobuki(math.inf if wall_m is None else wall_m)
        self._due: deque[tuple[float, Callable[[], None]]] = deque()
        self._ticked_s, self._touching, self._image_count = time.monotonic(), False, 0
        self._image: Image | None = None
        self._advertise()
        self._listen()
        self.add_on_set_parameters_callback(self._set)
        steady_timer(self, 1.0 / self._options.rate_hz, self._tick)
        steady_timer(self, 1.0 / self._options.camera_rate_hz, self._publish_image)
        steady_timer(self, 1.0, self._publish_battery)
        self.get_logger().info("ready: a fake LoCoBot")

    def close(self, reason: str) -> None:
        """Nothing to let go."""

    def _advertise(self) -> None:
        interfaces.ensure("kobuki_ros_interfaces")
        from kobuki_ros_interfaces.msg import BumperEvent  # type: ignore[import-not-found]

        self._bumper_event: Any = BumperEvent
        self._states = self.create_publisher(JointState, "dynamixel/joint_states", qos.NEWEST)
        self._odom = self.create_publisher(Odometry, "odom", qos.NEWEST)
        self._bumper = self.create_publisher(BumperEvent, "events/bumper", qos.EVERY)
        self._battery = self.create_publisher(BatteryState, "sensors/battery_state", qos.NEWEST)
        self._images = self.create_publisher(Image, "camera/color/image_raw", qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "camera/color/camera_info", qos_profile_sensor_data)

    def _listen(self) -> None:
        interfaces.ensure("interbotix_xs_msgs")
        from interbotix_xs_msgs.msg import JointGroupCommand  # type: ignore[import-not-found]
        from interbotix_xs_msgs.srv import RegisterValues, RobotInfo  # type: ignore[import-not-found]

        self.create_subscription(JointGroupCommand, "commands/joint_group", self._take_group, qos.NEWEST)
        self.create_subscription(Twist, "mobile_base/commands/velocity", self._take_velocity, qos.NEWEST)
        self.create_service(RobotInfo, "get_robot_info", self._tell_limits)
        self.create_service(RegisterValues, "get_motor_registers", self._tell_registers)

    def _set(self, changed: list[Any]) -> SetParametersResult:
        known = {item.name: item.value for item in changed if hasattr(self._options, item.name)}
        self._options = replace(self._options, **known)
        for servo in self._servos.values():
            servo.torque = self._options.torque
        return SetParametersResult(successful=True)

    def _take_group(self, message: Any) -> None:
        if message.name != GROUP or len(message.cmd) != len(self._servos):
            self.get_logger().error(f"group '{message.name}' with {len(message.cmd)} commands: ignored")
            return
        goals = dict(zip(self._servos, message.cmd))
        self._later(lambda: self._move(goals))

    def _move(self, goals: dict[str, float]) -> None:
        for name, goal in goals.items():
            self._servos[name].move_to(goal)

    def _take_velocity(self, message: Twist) -> None:
        wanted = (message.linear.x, message.angular.z)
        self._later(lambda: self._base.command(wanted, time.monotonic()))

    def _later(self, command: Callable[[], None]) -> None:
        if not self._options.lost:
            self._due.append((time.monotonic() + self._options.latency_s, command))

    def _tell_limits(self, request: Any, response: Any) -> Any:
        names = list(self._servos) if request.name == GROUP else []
        response.joint_names, response.num_joints = names, len(names)
        response.joint_lower_limits = [RANGES[name][0] for name in names]
        response.joint_upper_limits = [RANGES[name][1] for name in names]
        response.joint_velocity_limits = [SPEED_RADPS] * len(names)
        return response

    def _tell_registers(self, request: Any, response: Any) -> Any:
        if request.reg == "Torque_Enable" and request.name == GROUP:
            response.values = [int(servo.torque) for servo in self._servos.values()]
        return response

    def _tick(self) -> None:
        now = time.monotonic()
        period, self._ticked_s = now - self._ticked_s, now
        while self._due and self._due[0][0] <= now:
            self._due.popleft()[1]()
        for servo in self._servos.values():
            servo.advance(period)
        self._base.advance(now, period)
        if not self._options.lost:
            self._publish()

    def _publish(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        positions = [servo.position for servo in self._servos.values()]
        self._states.publish(JointState(header=header, name=list(self._servos), position=positions))
        self._odom.publish(convert.odometry_msg(self._base.pose, self.get_clock().now().nanoseconds))
        if self._touching != self._base.touching:
            self._touching = self._base.touching
            state = self._bumper_event.PRESSED if self._touching else self._bumper_event.RELEASED
            self._bumper.publish(self._bumper_event(bumper=self._bumper_event.CENTER, state=state))

    def _publish_battery(self) -> None:
        if not self._options.lost:
            self._battery.publish(BatteryState(percentage=self._options.battery))

    def _publish_image(self) -> None:
        if self._options.lost:
            return
        stamp, size = self.get_clock().now().nanoseconds, (self._options.height, self._options.width)
        if self._image is None or not self._options.freeze_camera:
            self._image_count += 1
            values = (*self._base.pose, *(servo.position for servo in self._servos.values()))
            self._image = images.image_msg(
                stripes(*size, values, self._image_count), stamp, "camera_color_optical_frame"
            )
        self._images.publish(self._image)
        self._infos.publish(images.camera_info_msg(CameraSpec("camera", *size, LENS_FOV_DEG[1]), stamp, "camera"))


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `fake_xs_sdk`."""
    run(FakeXsSdk, args)


if __name__ == "__main__":
    main()
