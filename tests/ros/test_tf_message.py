"""The TFMessage that is made where ROS's wheels have none. tests/ros/test_recording.py has it decoded by others."""

from __future__ import annotations

import ctypes

import pytest
import rclpy
from ferry_ros.interfaces import tf_message
from ferry_ros.messages.link_frames import LinkFrames
from rclpy.node import Node
from ros_graph import wait_until

OFFICIAL = "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
"""RIHS01 of tf2_msgs/msg/TFMessage in ROS 2 Jazzy's own package (rosbags' table has it too)."""


def test_its_hash_is_that_of_the_real_one() -> None:
    kind = tf_message.tf_message()
    if hasattr(kind, "maker"):  # not from an installed ROS
        assert bytes(kind.maker._hash) == b"\1" + bytes.fromhex(OFFICIAL)


def test_it_is_named_and_described_in_the_graph_as_the_real_one() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("tf_message", context=context)
    try:
        heard: list[bytes] = []
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        node.create_subscription(tf_message.tf_message(), "/tf", heard.append, 10, raw=True)
        publisher = node.create_publisher(tf_message.tf_message(), "/tf", 10)
        transform = LinkFrames("").transform("odom", "base_link", 5, (1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))
        sent = tf_message.serialized([transform, transform])

        def received() -> bool:
            publisher.publish(sent)
            executor.spin_once(0.1)
            return bool(heard)

        wait_until(received)
        assert heard[0] == sent
        (info,) = node.get_publishers_info_by_topic("/tf")
        assert info.topic_type == "tf2_msgs/msg/TFMessage"
        assert bytes(info.topic_type_hash.value).hex() == OFFICIAL
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def test_layouts_are_those_of_a_64_bit_machine() -> None:
    assert ctypes.sizeof(tf_message._Member) == 112
    assert ctypes.sizeof(tf_message._Shape) == 64
    assert ctypes.sizeof(tf_message._Support) == 48


def test_other_wheels_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_message, "WHEELS", ("ros-jazzy-rclpy", "9."))
    with pytest.raises(ImportError, match=r"install tf2_msgs .*: got ros-jazzy-rclpy 7"):
        tf_message._made()
