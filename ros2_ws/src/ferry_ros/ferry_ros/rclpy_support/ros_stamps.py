"""ROS time for what is timed on the monotonic clock."""

from __future__ import annotations

import time

from rclpy.clock import Clock
from rclpy.node import Node


class RosStamps:
    """Stamps a sequence in the ROS time of `clock`, strictly rising.

    Where ROS time was set back, stamps wait a nanosecond above the last one until it has caught up: an echoed stamp
    must name one observation, and tf2 drops what is older than what it has.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last_ns = clock, 0

    def of(self, sensed_ns: int) -> int:
        """ROS time [ns] of `sensed_ns` on this computer's monotonic clock, later than the one before."""
        age_ns = time.monotonic_ns() - sensed_ns
        self._last_ns = max(int(self._clock.now().nanoseconds) - age_ns, self._last_ns + 1)
        return self._last_ns

    def now(self) -> int:
        """ROS time [ns] of this moment, later than the one before."""
        return self.of(time.monotonic_ns())


def ros_now(node: Node) -> int:
    """ROS time [ns] of this moment, on the clock of `node`."""
    return int(node.get_clock().now().nanoseconds)
