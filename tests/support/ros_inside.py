"""A robot node inside of the test's own process: quick to start, and open to a look at its body. DDS is as real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from ferry_ros.nodes.robot_node import RobotNode
from ferry_ros.rclpy_support.spinner import Spinner
from rclpy.node import Node

FAST = {"robot": "fake", "fake.real_time": False, "control_period_s": 1.0, "publish_rate_hz": 20.0,
        "heartbeat_timeout_s": 2.0}  # fmt: skip


@contextmanager
def spinning(*nodes: Node) -> Iterator[None]:
    spinners = [Spinner(node) for node in nodes]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.close()


@contextmanager
def robot_node(**parameters: object) -> Iterator[tuple[RobotNode, Node]]:
    words = [part for name, value in {**FAST, **parameters}.items() for part in ("-p", f"{name}:={json.dumps(value)}")]
    rclpy.init(args=["--ros-args", "-r", "__ns:=/unit", *words])
    try:
        node, client = RobotNode(), Node("client")
        with spinning(node, client):
            try:
                yield node, client
            finally:
                node.close("the test is over")
    finally:
        rclpy.try_shutdown()
