"""A recording of ROS topics in MCAP, written from the bytes on the wire, and read by Foxglove's own decoder."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import rclpy.node
from ferry_ros.interfaces.tf_message import tf_message
from mcap.reader import make_reader
from mcap.writer import Writer
from mcap_ros2.decoder import DecoderFactory
from rclpy.qos import DurabilityPolicy, QoSProfile

TF = "geometry_msgs/TransformStamped[] transforms\n"
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Recorder:
    """Subscribes to topics of `node` and keeps the bytes: (topic, arrival [ns since 1970], message)."""

    def __init__(self, node: rclpy.node.Node, topics: dict[str, Any], latched: tuple[str, ...] = ()) -> None:
        self.messages: list[tuple[str, int, bytes]] = []
        self._kinds = {
            topic: "tf2_msgs/msg/TFMessage" if kind == "tf" else _name(kind) for topic, kind in topics.items()
        }
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
                kind: writer.register_schema(kind, "ros2msg", definition(kind).encode())
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


def definition(kind: str) -> str:
    """A type's definition with those that it refers to, as MCAP and rosbag2 hold them; from ROS's own files."""
    texts, missing = {}, [kind]
    while missing:
        name = missing.pop()
        if name in texts:
            continue
        package, _, message = name.split("/")
        path = Path(sys.prefix) / "share" / package / "msg" / f"{message}.msg"
        texts[name] = TF if name == "tf2_msgs/msg/TFMessage" else path.read_text()
        for word in re.findall(r"^\s*([A-Z]\w*|\w+/\w+)(?:\[\S*\])?\s+\w+", texts[name], re.MULTILINE):
            owner, _, other = word.rpartition("/")
            missing.append(f"{owner or package}/msg/{other}")
    first = texts.pop(kind)
    others = (f"{'=' * 80}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in texts.items())
    return "\n".join((first, *others))


def _name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
