"""Model of a ros2_control JointTrajectoryController, without ROS timing: it is ticked.

As ros2_controllers' joint_trajectory_controller (doc/userdoc.rst, doc/trajectory.rst): a new trajectory replaces the
one that runs and starts from the present state; points with velocities are joined by cubics, others by lines; a message
without points, with unknown or missing joints, or with times that do not increase is rejected; falling behind by more
than the path tolerance aborts and holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from robots.arms.trajectory import F64, Trajectory, halt
from robots.embodiment import JointLimits

PATH_TOLERANCE = 0.2
"""Largest tracking error of a joint [rad] or [m]: ur_robot_driver config/ur_controllers.yaml, constraints."""


class JointController:
    """One controller and the joints behind it.

    Args:
        joints: limits by joint name; what is asked beyond them is not reached.
        start: where the joints are.
        decel: what the drives slow down with when the controller is deactivated [rad/s^2] or [m/s^2].

    Attributes:
        positions: (k,) [rad] or [m].
        velocities: (k,) per second.
        active: an inactive controller holds the joints and ignores commands.
    """

    def __init__(self, joints: Mapping[str, JointLimits], start: F64, decel: float) -> None:
        self.names = tuple(joints)
        self._low = np.array([joint.low for joint in joints.values()])
        self._high = np.array([joint.high for joint in joints.values()])
        self._speeds = np.array([joint.max_speed for joint in joints.values()])
        self._decels = np.full(len(self.names), decel)
        self.positions = np.asarray(start, dtype=np.float64).copy()
        self.velocities = np.zeros_like(self.positions)
        self.active = True
        self._way: Trajectory | None = None
        self._linear = False
        self._began_s = self._ticked_s = 0.0

    @property
    def top_speed(self) -> float:
        """Of its slowest joint."""
        return float(self._speeds.min())

    def accept(self, message: JointTrajectory, now_s: float) -> str:
        """Follows `message` from now on; returns why not, or nothing."""
        reason = self._rejection(message)
        if reason:
            return reason
        order = [message.joint_names.index(name) for name in self.names]
        times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in message.points]
        rows = np.array([point.positions for point in message.points])[:, order]
        self._linear = not message.points[0].velocities
        slopes = np.zeros_like(rows) if self._linear else np.array([p.velocities for p in message.points])[:, order]
        self._way = Trajectory(
            np.array([0.0, *times]), np.vstack([self.positions, rows]), np.vstack([self.velocities, slopes])
        )
        self._began_s = self._ticked_s or now_s
        return ""

    def deactivate(self, now_s: float) -> None:
        """The drives slow down and hold; nothing is followed until `activate`."""
        if self.active:
            self._hold(now_s)
        self.active = False

    def activate(self) -> None:
        """Follows trajectories again; what was sent meanwhile is lost."""
        self.active = True

    def tick(self, now_s: float, period_s: float) -> str:
        """Moves the joints on by `period_s`; returns why the trajectory was aborted, or nothing."""
        self._ticked_s = now_s
        if self._way is None:
            self.velocities = np.zeros_like(self.positions)
            return ""
        elapsed = now_s - self._began_s
        wanted = self._sample(elapsed)
        step = np.clip(wanted - self.positions, -self._speeds * period_s, self._speeds * period_s)
        before = self.positions
        self.positions = np.clip(before + step, self._low, self._high)
        self.velocities = (self.positions - before) / period_s
        behind = np.abs(np.clip(wanted, self._low, self._high) - self.positions).max()
        if behind > PATH_TOLERANCE:
            self._hold(now_s)
            return f"path tolerance: {behind:.3f} behind, expected at most {PATH_TOLERANCE}"
        if elapsed > self._way.duration_s and behind < 1e-9:
            self._way = None
        return ""

    def _sample(self, elapsed_s: float) -> F64:
        assert self._way is not None  # checked by the caller
        if not self._linear:
            return self._way.sample(elapsed_s)[0]
        columns = self._way.positions.T
        return np.array([np.interp(elapsed_s, self._way.times_s, column) for column in columns])

    def _hold(self, now_s: float) -> None:
        self._way = halt(self.positions, self.velocities, self._decels.tolist())
        self._linear = False
        self._began_s = now_s

    def _rejection(self, message: JointTrajectory) -> str:
        if not self.active:
            return "the controller is not active"
        if not message.points:
            return "empty trajectory received"
        if unknown := [name for name in message.joint_names if name not in self.names]:
            return f"joint {unknown[0]} is not of this controller"
        if missing := [name for name in self.names if name not in message.joint_names]:
            return f"joint {missing[0]} is missing"
        times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in message.points]
        if times[0] <= 0 or any(step <= 0 for step in np.diff(times)):
            return "times of the points do not increase"
        sizes = {len(point.positions) for point in message.points} | {
            len(point.velocities) for point in message.points if message.points[0].velocities
        }
        return "" if sizes == {len(self.names)} else "a point has too few or too many numbers"
