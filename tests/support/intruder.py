"""A node that tells what is another's to tell: joints at zero, or a base where it is not. And what a robot was sent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ferry_ros.drivers.vendor_node import Link
from ferry_ros.rclpy_support.timer import steady_timer
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Header


class Intruder:
    """A node called `joint_state_publisher` on `topic`; silent until asked. Somebody `listens` there already."""

    def __init__(self, namespace: str, kind: Any, topic: str, listens: bool) -> None:
        self.link = Link("joint_state_publisher", namespace)
        self._publisher = self.link.node.create_publisher(kind, topic, 10)
        self._message: Any = None
        steady_timer(self.link.node, 0.02, self._again)
        self.link.spin()
        deadline = time.monotonic() + 10.0
        while listens and not self._publisher.get_subscription_count():
            assert time.monotonic() < deadline, f"nobody listens on {topic}"
            time.sleep(0.01)
        time.sleep(0.3)

    def once(self, message: Any) -> None:
        """One message."""
        message.header = Header(stamp=self.link.node.get_clock().now().to_msg())
        self._publisher.publish(message)

    def go_on(self, message: Any) -> None:
        """50 a second, until it is closed."""
        self._message = message

    def _again(self) -> None:
        if self._message is not None:
            self.once(self._message)


@contextmanager
def intruder(namespace: str, kind: Any, topic: str, listens: bool = True) -> Iterator[Intruder]:
    """One that ends with the context."""
    one = Intruder(namespace, kind, topic, listens)
    try:
        yield one
    finally:
        one.link.close()


def joints_at(value: float, names: Sequence[str]) -> JointState:
    """All of them at one place."""
    return JointState(name=list(names), position=[value] * len(names))


def odometry_at(x_m: float) -> Odometry:
    """Somewhere else."""
    message = Odometry()
    message.pose.pose.position.x = x_m
    message.pose.pose.orientation.w = 1.0
    return message


def record(link: Link, kind: Any, topic: str) -> list[Any]:
    """Every message that comes on `topic` from now on."""
    heard: list[Any] = []
    link.node.create_subscription(kind, topic, heard.append, QoSProfile(depth=1000))
    return heard
