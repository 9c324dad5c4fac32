"""A recording of ROS topics in MCAP, written from the bytes on the wire, and read by Foxglove's own decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import rclpy.node
from ferry_ros.interfaces.message_text import kind_of, message_text
from ferry_ros.interfaces.tf_message import tf_message
from mcap.reader import make_reader
from mcap.writer import Writer
from mcap_ros2.decoder import DecoderFactory
from rclpy.qos import DurabilityPolicy, QoSProfile

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Recorder:
    """Subscribes to topics of `node` and keeps the bytes: (topic, arrival [ns since 1970], message)."""

    def __init__(self, node: rclpy.node.Node, topics: dict[str, Any], latched: tuple[str, ...] = ()) -> None:
        self.messages: list[tuple[str, int, bytes]] = []
        self._kinds = {topic: kind_of(tf_message() if kind == "tf" else kind) for topic, kind in topics.items()}
        for topic, kind in topics.items():
            profile: Any = LATCHED if topic in latched else 200
            found = tf_message() if kind == "tf" else kind
            node.create_subscription(found, topic, partial(self._take, topic), profile, raw=True)

    def _take(self, topic: str, data: Any) -> None:
        self.messages.append((topic, time.time_ns(), bytes(data)))

    def write(self, file: Path) -> None:
        """Writes what came so far."""
        with file.open("wb") as stream:
            writer = Writer(stream)
            writer.start(profile="ros2")
            schemas = {
                kind: writer.register_schema(kind, "ros2msg", message_text(kind).encode())
                for kind in set(self._kinds.values())
            }
            channels = {
                topic: writer.register_channel(topic, "cdr", schemas[kind]) for topic, kind in self._kinds.items()
            }
            for topic, at_ns, data in list(self.messages):
                writer.add_message(channels[topic], at_ns, data, at_ns)
            writer.finish()


def read(file: Path) -> Iterator[tuple[str, int, Any]]:
    """(topic, arrival [ns], decoded message) of a recording."""
    with file.open("rb") as stream:
        for _, channel, message, decoded in make_reader(
            stream, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            yield channel.topic, message.log_time, decoded
