"""What a ROS engineer expects of a robot node's topics, from a real one over DDS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from ferry_ros.messages import convert, qos
from nav_msgs.msg import Odometry
from ros_graph import Graph, graph, wait_until
from sensor_msgs.msg import CameraInfo, Image, JointState

from robots.command import MoveBase
from robots.execution.command_request import CommandRequest

CAMERAS = ("navigation", "manipulation")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """A graph with a Stretch that is a kinematic fake."""
    folder: Path = tmp_path_factory.mktemp("standards")
    with graph(folder) as now:
        now.robot()
        now.ready()
        yield now


def newest(here: Graph, kind: Any, topic: str, profile: Any = qos.NEWEST) -> Any:
    """The next message on `topic`, or the latched one."""
    heard: list[Any] = []
    subscription = here.watcher.create_subscription(kind, topic, heard.append, profile)
    wait_until(lambda: heard)
    here.watcher.destroy_subscription(subscription)
    return heard[-1]


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        (Image, "camera/navigation/image_raw"),
        (CameraInfo, "camera/manipulation/camera_info"),
        (JointState, "joint_states"),
        (Odometry, "odom"),
        (DiagnosticArray, "/diagnostics"),
    ],
)
def test_stamps_are_ros_time(here: Graph, kind: Any, topic: str) -> None:
    stamp_ns = convert.stamp_of(newest(here, kind, topic).header)
    assert abs(stamp_ns - time.time_ns()) < 1e9


def test_a_command_echoes_the_ros_time_of_its_observation(here: Graph) -> None:
    assert here.watcher.begin()
    count = len(here.watcher.results)
    stamp_ns = convert.stamp_of(newest(here, JointState, "joint_states").header)
    here.watcher.order(CommandRequest(stamp_ns, MoveBase(0.1), 5.0))
    wait_until(lambda: len(here.watcher.results) > count)
    assert here.watcher.results[-1].sent.executed
    here.watcher.order(CommandRequest(time.time_ns(), MoveBase(0.1), 5.0))
    wait_until(lambda: len(here.watcher.results) > count + 1)
    assert here.watcher.results[-1].sent.refused.startswith("unknown: no observation with stamp")
