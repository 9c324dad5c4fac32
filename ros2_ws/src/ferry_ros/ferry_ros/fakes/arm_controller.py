"""`fake_arm_controller`: an arm behind ros2_control, without the arm.

Publishes `joint_states` and images, takes `<controller>/joint_trajectory` for the arm and for its gripper. It can be
stopped (e-stop), lost and frozen while it runs: set its parameters.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.action.server import ActionServer
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, qos_profile_system_default
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Header
from trajectory_msgs.msg import JointTrajectory

from ferry_ros import interfaces
from ferry_ros.drivers.ros2_control.trajectory_msg import message
from ferry_ros.fakes.joint_controller import JointController
from ferry_ros.fakes.scene import stripes
from ferry_ros.messages import images, qos
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.process import run
from ferry_ros.rclpy_support.timer import steady_timer
from robots.arms.trajectory import towards
from robots.embodiment import JointLimits
from robots.embodiments import ros2_control_arms


@dataclass(frozen=True)
class FakeArmOptions:
    """Options and faults of the fake arm; all faults can be set while it runs.

    Attributes:
        arm: preset: ur5e, fr3 or xarm6.
        gripper: whether the preset's usual gripper is mounted.
        gripper_action: whether the gripper offers its GripperCommand action too; its types are built where they are not
            installed.
        rate_hz: of the control loop and of joint_states.
        camera_topics: topics of the images, separated by commas; empty for none.
        height: of an image, in pixels.
        width: of an image, in pixels.
        camera_rate_hz: images a second.
        latency_s: how long after it was sent a trajectory begins.
        object_m: thickness of what is between the fingertips [m]; they close no further.
        estop: the drives are stopped and the controller is not active.
        lost: nothing is published or received and the arm is at rest, as when it is switched off.
        freeze_camera: the same image with the same stamp is published again and again.
    """

    arm: str = "ur5e"
    gripper: bool = True
    gripper_action: bool = False
    rate_hz: float = 125.0
    camera_topics: str = "camera/color/image_raw"
    height: int = 48
    width: int = 64
    camera_rate_hz: float = 30.0
    latency_s: float = 0.0
    object_m: float = 0.0
    estop: bool = False
    lost: bool = False
    freeze_camera: bool = False


class FakeArmController(Node):
    """The arm's controller, its gripper's, joint_state_broadcaster and the cameras in one node."""

    def __init__(self) -> None:
        super().__init__("fake_arm_controller")
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, FakeArmOptions)
        self._options = parameters.read(self, FakeArmOptions)
        self._preset = ros2_control_arms.arm(self._options.arm)
        preset, ready = self._preset, np.array(self._preset.ready)
        self._controllers = {preset.controller: JointController(preset.joints, ready, preset.decel_radps2)}
        if self._options.gripper:
            self._controllers[preset.gripper.controller] = self._gripper()
        for name, controller in self._controllers.items():
            take = partial(self._take, controller)
            self.create_subscription(JointTrajectory, f"{name}/joint_trajectory", take, qos_profile_system_default)
        if self._options.gripper and self._options.gripper_action:
            self._serve_gripper()
        self._states = self.create_publisher(JointState, "joint_states", qos_profile_system_default)
        self._running = self.create_publisher(Bool, preset.running_topic or "~/running", qos.LATCHED)
        topics = [topic for topic in self._options.camera_topics.split(",") if topic]
        self._images = [self.create_publisher(Image, topic, qos_profile_sensor_data) for topic in topics]
        self._last_image: Image | None = None
        self._image_count = 0
        self._due: list[tuple[float, JointController, JointTrajectory]] = []
        self._ticked_s = time.monotonic()
        self._running.publish(Bool(data=True))
        steady_timer(self, 1.0 / self._options.rate_hz, self._tick)
        steady_timer(self, 1.0 / self._options.camera_rate_hz, self._publish_images)
        self.add_on_set_parameters_callback(self._set)
        self.get_logger().info(f"ready: {preset.name} on {preset.controller}/joint_trajectory")

    def _serve_gripper(self) -> None:
        interfaces.ensure("control_msgs")
        from control_msgs.action import GripperCommand  # type: ignore[import-not-found]

        self._grip_result: Any = GripperCommand.Result
        self._gripper_server = ActionServer(self, GripperCommand, self._preset.gripper.action, self._grip)

    def _grip(self, handle: Any) -> Any:
        """Moves there at top speed, and answers before it has arrived, as the caller measures."""
        controller = self._controllers[self._preset.gripper.controller]
        target, speed = handle.request.command.position, controller.top_speed
        way = towards(controller.positions, [target], [speed], 10 * speed)
        controller.accept(message(controller.names, way), time.monotonic())
        handle.succeed()
        return self._grip_result()

    def close(self, reason: str) -> None:
        """Does nothing: a controller that ends leaves the arm at rest."""

    def _gripper(self) -> JointController:
        gripper = self._preset.gripper
        closed, opened = gripper.joint_of(self._options.object_m), gripper.open
        speed = gripper.speed_mps * abs(gripper.open - gripper.closed) / gripper.aperture_m
        limits = JointLimits(min(closed, opened), max(closed, opened), speed)
        return JointController({gripper.joint: limits}, np.array([gripper.open]), 10 * speed)

    def _set(self, changed: list[Any]) -> SetParametersResult:
        before = self._options
        self._options = replace(before, **{item.name: item.value for item in changed if hasattr(before, item.name)})
        for controller in self._controllers.values():
            if (self._options.estop, self._options.lost) > (before.estop, before.lost):
                controller.deactivate(time.monotonic())
            elif not self._options.estop:
                controller.activate()
        self._running.publish(Bool(data=not self._options.estop))
        return SetParametersResult(successful=True)

    def _take(self, controller: JointController, message: JointTrajectory) -> None:
        self._due.append((time.monotonic() + self._options.latency_s, controller, message))

    def _tick(self) -> None:
        now = time.monotonic()
        period, self._ticked_s = now - self._ticked_s, now
        if self._options.lost:
            self._due.clear()
        while self._due and self._due[0][0] <= now:
            _, controller, message = self._due.pop(0)
            self._warn("rejected", controller.accept(message, now))
        for controller in self._controllers.values():
            self._warn("aborted", controller.tick(now, period))
        if not self._options.lost:
            self._publish_states()

    def _warn(self, what: str, reason: str) -> None:
        if reason:
            self.get_logger().warning(f"trajectory {what}: {reason}")

    def _publish_states(self) -> None:
        message = JointState(header=Header(stamp=self.get_clock().now().to_msg()))
        for controller in self._controllers.values():
            message.name += list(controller.names)
            message.position = [*message.position, *controller.positions.tolist()]
            message.velocity = [*message.velocity, *controller.velocities.tolist()]
        self._states.publish(message)

    def _publish_images(self) -> None:
        if self._options.lost or not self._images:
            return
        if self._last_image is None or not self._options.freeze_camera:
            self._image_count += 1
            values: Any = tuple(float(v) for one in self._controllers.values() for v in one.positions)
            image = stripes(self._options.height, self._options.width, values, self._image_count)
            self._last_image = images.image_msg(image, self.get_clock().now().nanoseconds, "camera")
        for publisher in self._images:
            publisher.publish(self._last_image)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `fake_arm_controller`."""
    run(FakeArmController, args)


if __name__ == "__main__":
    main()
