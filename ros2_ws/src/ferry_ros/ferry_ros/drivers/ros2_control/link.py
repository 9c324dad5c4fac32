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
"""DDS tells a writer of a reader before that reader listens to the writer; what is sent between is lost. So long it is
also looked whether two publishers tell of one joint."""


class ArmLink:
    """Listens to an arm and tells its controllers what to do.

    Attributes:
        link: its node; cameras subscribe on it too, before `spin`.
        feedback: of the arm's joints, and the gripper's where there is a `gripper_controller`.
        gripper: None where there is none.
        running: what the arm says of itself; true where it says nothing.
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
        """Returns once the arm speaks and its controllers listen; ConnectionFailed says what to check."""
        deadline = time.monotonic() + timeout_s
        if not self.feedback.wait(-1, timeout_s):
            self._believe()
            missing = ", ".join(self.feedback.missing)
            raise ConnectionFailed(
                f"{self._preset.name}: {self.feedback.topic} does not tell of {missing} within {timeout_s} s; is the"
                " arm's driver running with joint_state_broadcaster, in this namespace?"
            )
        while lost := self.lost:
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"{self._preset.name}: {lost}; is that controller loaded? `ros2 control list_controllers` tells"
                )
            time.sleep(0.02)
        time.sleep(MATCH_S)
        self._believe()

    def _believe(self) -> None:
        if fault := self.feedback.fault:
            raise ConnectionFailed(f"{self._preset.name}: {fault}")

    @property
    def lost(self) -> str:
        """Why trajectories would not arrive; empty when they would."""
        if self._arm.get_subscription_count() == 0:
            return f"controller lost: nobody listens on {self._arm.topic_name}"
        return self.gripper.lost if self.gripper else ""

    def positions(self) -> dict[str, float]:
        """The robot's joints by name [rad], the gripper's aperture [m] among them."""
        told = self.feedback.positions()
        ours = {name: told[name] for name in self._preset.joints if name in told}
        if self._preset.gripper.joint in told:
            ours[GRIPPER_JOINT] = self._preset.gripper.aperture_of(told[self._preset.gripper.joint])
        return ours

    def arm_speeds(self) -> list[float]:
        """Of the arm's joints, in their order [rad/s]."""
        told = self.feedback.velocities()
        return [told.get(name, 0.0) for name in self._preset.joints]

    def send_arm(self, way: Trajectory) -> None:
        """Replaces what the arm follows; it starts at once. Whatever was planned, ranges and top speeds are kept."""
        limits = list(self._preset.joints.values())
        low, high, speeds = ([getattr(one, end) for one in limits] for end in ("low", "high", "max_speed"))
        self._arm.publish(message(tuple(self._preset.joints), way.clipped(low, high, speeds)))

    def _aperture(self) -> float:
        return self.positions()[GRIPPER_JOINT]

    def close(self) -> None:
        """Lets the topics go."""
        self.link.close()

    def _take_running(self, told: Bool) -> None:
        self.running = bool(told.data)
