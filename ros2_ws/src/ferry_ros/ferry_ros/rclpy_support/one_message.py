"""One message of a topic, for what is asked once: a lasting subscription queues messages, also for a suspended node."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from ferry_ros.rclpy_support.spinner import Spinner, sibling_node


def one_message(node: Node, kind: Any, topic: str, profile: QoSProfile, timeout_s: float) -> tuple[Any, str]:
    """Waits for the next message, or the latched one; returns it, None when there is none in time, and the topic."""
    found: list[Any] = []
    there = threading.Event()

    def take(message: Any) -> None:
        found.append(message)
        there.set()

    listener = sibling_node(node, "finder")
    name = listener.create_subscription(kind, topic, take, profile).topic_name
    spinner = Spinner(listener)
    try:
        return (found[0] if there.wait(timeout_s) else None), str(name)
    finally:
        spinner.close()
