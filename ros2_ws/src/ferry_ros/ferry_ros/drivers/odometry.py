"""Odometry of a base: newest pose, its age and plausibility."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile

from ferry_ros.drivers.base_motion import Pose
from ferry_ros.drivers.publishers import Publishers
from ferry_ros.messages import convert
from robots.embodiment import BaseLimits
from robots.plausibility import Plausibility, of_base, unwrapped

RESTART_S = 1.5
"""After a longer silence the base's node may have been started anew [s]."""


class OdometryFeedback:
    """Subscribes to `topic`, which must have a single publisher.

    Attributes:
        pose: newest plausible pose: (x_m, y_m, yaw_rad).
    """

    def __init__(self, node: Node, topic: str, profile: QoSProfile, base: BaseLimits) -> None:
        self.pose: Pose = (0.0, 0.0, 0.0)
        self._turned, self._received_s = 0.0, -math.inf
        self._back_s = -math.inf
        self._plausible = Plausibility(of_base(base), f"; are two nodes publishing {topic}?")
        self._publishers = Publishers(node, topic, exclusive=True)
        node.create_subscription(Odometry, topic, cast(Any, self._take), profile)

    @property
    def age_s(self) -> float:
        """Age of `pose`; infinite before the first."""
        return time.monotonic() - self._received_s

    @property
    def back_at_s(self) -> float:
        """Monotonic time when its node was started anew, by its numbers or a silence of more than `RESTART_S`."""
        return max(self._back_s, self._publishers.restarted_s)

    @property
    def fault(self) -> str:
        """Fault of the odometry: "two publishers: ...", "feedback jumps: ..."; empty when it is plausible."""
        return self._publishers.fault or self._plausible.fault

    def _take(self, message: Odometry, info: Mapping[str, Any]) -> None:
        now_s, (x, y, yaw) = time.monotonic(), convert.pose_of(message)
        turned = unwrapped(yaw, self._turned)
        self._publishers.take(("the odometry",), info)
        if self._plausible.take({"x": x, "y": y, "yaw": turned}, now_s, info["source_timestamp"] / 1e9):
            if now_s - self._received_s > RESTART_S:
                self._back_s = now_s
            self.pose, self._turned, self._received_s = (x, y, yaw), turned, now_s
