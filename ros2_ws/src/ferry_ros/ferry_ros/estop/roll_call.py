"""Lists running robots, and those that a new process of this user discovers but does not receive from."""

from __future__ import annotations

import time
from functools import partial

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool

from ferry_ros.estop import reach
from ferry_ros.messages import qos
from ferry_ros.rclpy_support.context import enter

LISTEN_S = 3.0


def call(node: Node, listen_s: float = LISTEN_S) -> dict[str, bool]:
    """Namespace of each discovered robot -> True when its supervisor or robot_node is received. Spins `node`."""
    heard: dict[str, bool] = {}

    def hear(namespace: str, _: object) -> None:
        heard[namespace] = True

    until = time.monotonic() + listen_s
    while time.monotonic() < until:
        for name in reach.robots(node):
            if name not in heard:
                heard[name] = False
                for kind, topic in ((DiagnosticStatus, reach.PERMIT[0]), (Bool, reach.HEARTBEAT[0])):
                    where = f"{name.rstrip('/')}/{topic}"
                    node.create_subscription(kind, where, partial(hear, name), qos.NEWEST)
        rclpy.spin_once(node, timeout_sec=0.1)
    return heard


def main() -> None:
    """Prints a line for each: `heard /stretch`, or `silent /stretch`."""
    enter([])
    node = Node("roll_call")
    for namespace, heard in sorted(call(node).items()):
        print("heard" if heard else "silent", namespace)
    node.destroy_node()
    rclpy.shutdown()
