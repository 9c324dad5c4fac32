"""The gripper of an arm behind ros2_control: by trajectories of its joint, or by GripperCommand actions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from rclpy.action.client import ActionClient
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from ferry_ros import interfaces
from ferry_ros.drivers.ros2_control.trajectory_msg import COMMAND, message
from ferry_ros.rclpy_support.timer import steady_timer
from robots.arms.trajectory import MIN_RAMP_S, Trajectory
from robots.embodiments import ros2_control_arms

TICK_S = 0.02
"""How exactly an action goal is sent at its time."""

MOVED_M = 0.001
"""A gripper that is further than this from where it was 0.1 s ago moves."""


class Gripper(Protocol):
    """Follows ways of the aperture [m]."""

    @property
    def lost(self) -> str:
        """Why commands would not arrive; empty when they would."""

    def send(self, way: Trajectory, begin_s: float, window_s: float, lead_s: float) -> None:
        """Follows `way` from `begin_s` on; called again every now and then until its end."""

    def hold(self, told_m: float) -> None:
        """Goes no further; `told_m` is what the way asked for last. What is held stays held."""


class TrajectoryGripper:
    """Sends a way in parts to `controller`, a JointTrajectoryController of the gripper's joint."""

    def __init__(
        self, node: Node, gripper: ros2_control_arms.Gripper, controller: str, aperture: Callable[[], float]
    ) -> None:
        self._gripper = gripper
        self._topic = node.create_publisher(JointTrajectory, f"{controller}/joint_trajectory", COMMAND)

    @property
    def lost(self) -> str:
        """Nobody listens."""
        heard = self._topic.get_subscription_count() > 0
        return "" if heard else f"controller lost: nobody listens on {self._topic.topic_name}"

    def send(self, way: Trajectory, begin_s: float, window_s: float, lead_s: float) -> None:
        """Sends the next part."""
        self._publish(way.window(begin_s, window_s, lead_s, [np.inf]))

    def hold(self, told_m: float) -> None:
        """Asks for what was asked for last, so that the force on what is held stays."""
        there = np.full((2, 1), told_m)
        self._publish(Trajectory(np.array([0.0, MIN_RAMP_S]), there, np.zeros((2, 1))))

    def _publish(self, way: Trajectory) -> None:
        gripper = self._gripper
        scale = (gripper.open - gripper.closed) / gripper.aperture_m
        joint = Trajectory(way.times_s, gripper.closed + scale * way.positions, scale * way.velocities)
        self._topic.publish(message((gripper.joint,), joint))


class ActionGripper:
    """Sends a goal to `action` (control_msgs/GripperCommand) each time the way turns round.

    How fast it moves is the gripper's own affair.
    """

    def __init__(
        self, node: Node, gripper: ros2_control_arms.Gripper, action: str, aperture: Callable[[], float]
    ) -> None:
        interfaces.ensure("control_msgs")
        from control_msgs.action import GripperCommand  # type: ignore[import-not-found]

        self._kind: Any = GripperCommand
        self._gripper, self._action, self._aperture = gripper, action, aperture
        self._client: Any = ActionClient(node, GripperCommand, action)
        self._lock = threading.RLock()  # the timer's thread, the motion's, and that of whoever stops it
        self._due: list[tuple[float, float]] = []
        self._before = (0.0, 0.0)
        steady_timer(node, TICK_S, self._tick)

    @property
    def lost(self) -> str:
        """Nobody offers the action."""
        return "" if self._client.server_is_ready() else f"controller lost: nobody offers the action {self._action}"

    def send(self, way: Trajectory, begin_s: float, window_s: float, lead_s: float) -> None:
        """Plans the goals of a whole way, at its beginning."""
        if begin_s == 0.0:
            now_s = time.monotonic()
            with self._lock:
                self._due = [(now_s + due_s, target_m) for due_s, target_m in turns(way)]
                self._tick()

    def hold(self, told_m: float) -> None:
        """A gripper that stands keeps its goal and so its force; one that moves is sent to where it is."""
        with self._lock:
            self._due = []
            here, (at_s, was) = self._aperture(), self._before
            if abs(here - was) > MOVED_M and time.monotonic() - at_s < 0.5:
                self._goal(here)

    def _tick(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            while self._due and self._due[0][0] <= now_s:
                self._goal(self._due.pop(0)[1])
            if self._due or now_s - self._before[0] > 0.1:
                self._remember(now_s)

    def _remember(self, now_s: float) -> None:
        try:
            self._before = (now_s, self._aperture())
        except KeyError:  # not told yet
            return

    def _goal(self, aperture_m: float) -> None:
        goal = self._kind.Goal()
        goal.command.position = self._gripper.joint_of(aperture_m)
        self._client.send_goal_async(goal)


def turns(way: Trajectory) -> list[tuple[float, float]]:
    """When each stretch in one direction begins [s], and where it leads [m]."""
    apertures = way.positions[:, 0].tolist()
    goals: list[tuple[float, float]] = []
    sign = 0.0
    for number, step in enumerate(np.diff(apertures)):
        if abs(step) < 1e-6:
            continue
        if np.sign(step) != sign:
            goals.append((float(way.times_s[number]), apertures[number + 1]))
            sign = float(np.sign(step))
        else:
            goals[-1] = (goals[-1][0], apertures[number + 1])
    return goals or [(0.0, apertures[-1])]
