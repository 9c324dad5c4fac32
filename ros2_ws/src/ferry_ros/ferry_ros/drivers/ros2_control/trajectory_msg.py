"""A trajectory as the message of a JointTrajectoryController."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robots.arms.trajectory import Trajectory

COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Only the newest trajectory counts: after a stop the one before must not be delivered."""


def message(joints: Sequence[str], trajectory: Trajectory) -> JointTrajectory:
    """Message of a trajectory from its second point on: the controller starts from its own state. Stamp 0 means now."""
    points = []
    for due_s, position, velocity in zip(trajectory.times_s[1:], trajectory.positions[1:], trajectory.velocities[1:]):
        nanoseconds = round(float(due_s) * 1e9)
        due = Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)
        points.append(
            JointTrajectoryPoint(positions=position.tolist(), velocities=velocity.tolist(), time_from_start=due)
        )
    return JointTrajectory(joint_names=list(joints), points=points)
