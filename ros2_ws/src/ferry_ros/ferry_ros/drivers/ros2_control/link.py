"""The topics of an arm behind ros2_control."""

from __future__ import annotations

import time

from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from ferry_ros.drivers.joint_feedback import JointFeedback
from ferry_ros.drivers.ros2_control.gripper import ActionGripper, Gripper, TrajectoryGripper
from ferry_ros.drivers.ros2_control.trajectory_msg import COMMAND, message
from ferry_ros.drivers.vendor_node import Link
from ferry_ros.messages import qos
from robots.arms.trajectory import Trajectory
from robots.embodiments.ros2_control_arms import Arm
from robots.errors import ConnectionFailed
from robots.limits import GRIPPER_JOINT

MATCH_S = 0.5
"""DDS may report a reader before that reader receives: messages in between are lost. During this time two publishers of
one joint are detected as well [s]."""


class ArmLink:
    """Topics of an arm and its controllers.

    Attributes:
        link: its node; cameras subscribe on it too, before `spin`.
        feedback: of the arm's joints, and the gripper's where there is a `gripper_controller`.
        gripper: None where there is none.
        running: the arm permits motion, by its own report; true where it reports nothing.
    """

    def __init__(self, preset: Arm, namespace: str, controller: str, gripper_controller: str, states: str) -> None:
        self._preset = preset
        self.link = Link("ferry_arm", namespace)
        node = self.link.node
        self.feedback = JointFeedback(node, states, preset.possible(bool(gripper_controller)))
        self.running = True
        self._arm = node.create_publisher(JointTrajectory, f"{controller}/joint_trajectory", COMMAND)
        self.gripper: Gripper | None = None
        if gripper_controller:
            kind = ActionGripper if "/" in gripper_controller.strip("/") else TrajectoryGripper
            self.gripper = kind(node, preset.gripper, gripper_controller, self._aperture)
        if preset.running_topic:
            node.create_subscription(Bool, preset.running_topic, self._take_running, qos.LATCHED)

    def wait(self, timeout_s: float) -> None:
        """Waits until the arm publishes and its controllers subscribe; ConnectionFailed names what to check."""
        deadline = time.monotonic() + timeout_s
        if not self.feedback.wait(-1, timeout_s):
            self._check_feedback()
            missing = ", ".join(self.feedback.missing)
            raise ConnectionFailed(
                f"{self._preset.name}: {self.feedback.topic} does not publish {missing} within {timeout_s} s; is the"
                " arm's driver running with joint_state_broadcaster, in this namespace?"
            )
        while lost := self.lost:
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"{self._preset.name}: {lost}; is that controller loaded? see `ros2 control list_controllers`"
                )
            time.sleep(0.02)
        time.sleep(MATCH_S)
        self._check_feedback()

    def _check_feedback(self) -> None:
        if fault := self.feedback.fault:
            raise ConnectionFailed(f"{self._preset.name}: {fault}")

    @property
    def lost(self) -> str:
        """Reason why trajectories would not arrive; empty when they would."""
        if self._arm.get_subscription_count() == 0:
            return f"controller lost: no node subscribes to {self._arm.topic_name}"
        return self.gripper.lost if self.gripper else ""

    def positions(self) -> dict[str, float]:
        """The robot's joints by name [rad], the gripper's aperture [m] among them."""
        received = self.feedback.positions()
        ours = {name: received[name] for name in self._preset.joints if name in received}
        if self._preset.gripper.joint in received:
            ours[GRIPPER_JOINT] = self._preset.gripper.aperture_of(received[self._preset.gripper.joint])
        return ours

    def arm_speeds(self) -> list[float]:
        """Of the arm's joints, in their order [rad/s]."""
        received = self.feedback.velocities()
        return [received.get(name, 0.0) for name in self._preset.joints]

    def send_arm(self, trajectory: Trajectory) -> None:
        """Replaces the arm's trajectory, which starts at once; clipped to ranges and top speeds."""
        limits = list(self._preset.joints.values())
        low, high, speeds = ([getattr(joint, end) for joint in limits] for end in ("low", "high", "max_speed"))
        self._arm.publish(message(tuple(self._preset.joints), trajectory.clipped(low, high, speeds)))

    def _aperture(self) -> float:
        return self.positions()[GRIPPER_JOINT]

    def close(self) -> None:
        """Unsubscribes."""
        self.link.close()

    def _take_running(self, message: Bool) -> None:
        self.running = bool(message.data)
