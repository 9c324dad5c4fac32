"""What a ROS engineer expects of a robot node's topics, from a real one over DDS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from ferry_ros.messages import convert, images, qos
from nav_msgs.msg import Odometry
from ros_graph import Graph, graph, newest, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64

from robots.command import MoveBase
from robots.execution.command_request import CommandRequest


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """A graph with a Stretch that is a kinematic fake."""
    folder: Path = tmp_path_factory.mktemp("standards")
    with graph(folder) as now:
        now.robot()
        now.ready()
        yield now


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


def test_the_state_of_a_policy_is_whole_on_a_topic_of_its_own(here: Graph) -> None:
    state, joints = newest(here, JointState, "state"), newest(here, JointState, "joint_states")
    assert {"in_hand", "gripper_aperture", "joint_arm"} <= set(state.name)
    assert not {"in_hand", "gripper_aperture", "joint_arm"} & set(joints.name)
    assert isinstance(newest(here, Bool, "in_hand").data, bool)
    apertures = dict(zip(state.name, state.position, strict=True))["gripper_aperture"]
    assert newest(here, Float64, "gripper_aperture").data == pytest.approx(apertures)


def test_images_are_compressed_for_who_subscribes(here: Graph) -> None:
    raw, jpeg = [], []
    watcher = here.watcher
    subscriptions = [
        watcher.create_subscription(Image, "camera/navigation/image_raw", raw.append, qos.newest(10)),
        watcher.create_subscription(
            CompressedImage, "camera/navigation/image_raw/compressed", jpeg.append, qos.newest(10)
        ),
    ]

    def pairs() -> list[tuple[Image, CompressedImage]]:
        return [(image, one) for image in list(raw) for one in list(jpeg) if image.header == one.header]

    wait_until(pairs)
    for subscription in subscriptions:
        watcher.destroy_subscription(subscription)
    image, compressed = pairs()[0]
    assert compressed.format == "rgb8; jpeg compressed bgr8"
    assert np.abs(images.decode(image).astype(int) - images.decode(compressed)).mean() < 6.0
