"""`watch_node`: a live view of the graph in its namespace, for Foxglove, over a websocket.

Cameras as JPEG, robot model, transforms, decisions with probabilities and deadline, stops, diagnostics. Read only: a
viewer can ask for nothing. Runs in a process of its own, with a low priority; no other node waits for it, and a viewer
that is slow loses images.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import foxglove
from foxglove.websocket import ServerListener
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from evaluation.recordings.mcap_writer import CDR, Topic
from ferry_ros.decision_view import DecisionView
from ferry_ros.graph_topics import GraphTopics
from ferry_ros.messages import images
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.process import fail, run
from robots.errors import ConnectionFailed, RobotError

NICENESS = 10
DEPTH = 5
BACKLOG = 256
MESH = re.compile(r'filename="file://([^"]+)"')


@dataclass(frozen=True)
class WatchOptions:
    """Parameters of watch_node.

    Attributes:
        host: address that viewers connect to; 0.0.0.0 for those on other machines, who are not asked who they are.
        port: of the websocket.
        image_rate_hz: most images a second of each camera [Hz].
    """

    host: str = "127.0.0.1"
    port: int = 8765
    image_rate_hz: float = 5.0


class WatchNode(Node):
    """Passes everything on to Foxglove's server."""

    def __init__(self) -> None:
        super().__init__("watch_node")
        with suppress(OSError):
            os.nice(NICENESS)
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, WatchOptions)
        self._claim = Claim(self, "watch_node", lambda _: None, partial(fail, self))
        self._claim.settle()
        options = parameters.read(self, WatchOptions)
        self._period_s = 1.0 / max(options.image_rate_hz, 0.1)
        self._channels: dict[str, foxglove.Channel] = {}
        self._latched: dict[str, list[bytes]] = {}
        self._sent_s: dict[str, float] = {}
        self._meshes = Meshes()
        self._view = DecisionView(self.resolve_topic_name)
        try:
            self._server = foxglove.start_server(
                name=self.get_namespace(), host=options.host, port=options.port, message_backlog_size=BACKLOG,
                server_listener=_Greeter(self._greet), asset_handler=self._meshes.read,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            raise ConnectionFailed(
                f"watch: {options.host}:{options.port}: {error}; choose another port: watch_port:="
            ) from error
        self._topics = GraphTopics(self, self._take, DEPTH)
        self._topics.follow()
        self.get_logger().info(f"Foxglove: open a connection to ws://{options.host}:{self._server.port}")

    def close(self, reason: str) -> None:
        """Ends the connections."""
        self._server.stop()
        self._claim.close()

    def _take(self, topic: Topic, data: bytes) -> None:
        if topic.kind == "sensor_msgs/msg/Image":
            self._image(topic, data)
            return
        if topic.name == self.resolve_topic_name("robot_description"):
            data = bytes(serialize_message(String(data=self._meshes.take(deserialize_message(data, String).data))))
        self._log(topic, data)
        for other, made in self._view.watch(topic, data):
            self._log(other, made)

    def _image(self, topic: Topic, data: bytes) -> None:
        """Passes an image on as a JPEG, no more often than viewers need it."""
        now_s = time.monotonic()
        if now_s - self._sent_s.get(topic.name, 0.0) < self._period_s:
            return
        self._sent_s[topic.name] = now_s
        with suppress(RobotError):  # robot_node says so too
            message = deserialize_message(data, Image)
            jpeg = images.compressed_msg(images.decode(message), message.header)
            self._log(self._compressed(topic), bytes(serialize_message(jpeg)))

    def _compressed(self, topic: Topic) -> Topic:
        made = self._topics.topic("image", CompressedImage)
        return replace(made, name=f"{topic.name}/compressed")

    def _log(self, topic: Topic, data: bytes) -> None:
        if topic.name not in self._channels:
            encoding = "ros2msg" if topic.encoding == CDR else "jsonschema"
            schema = foxglove.Schema(name=topic.kind, encoding=encoding, data=topic.definition.encode())
            self._channels[topic.name] = foxglove.Channel(topic.name, schema=schema, message_encoding=topic.encoding)
        if topic.latched:
            self._latched[topic.name] = [*self._latched.get(topic.name, [])[-19:], data]
        self._channels[topic.name].log(data, log_time=time.time_ns())

    def _greet(self, name: str) -> None:
        """Says again what a latched topic holds, to which a viewer subscribes; those who have it get it once more."""
        for data in self._latched.get(name, ()):
            self._channels[name].log(data, log_time=time.time_ns())


class Meshes:
    """The mesh files of a robot's description, and no others, for viewers on other machines."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}

    def take(self, urdf: str) -> str:
        """Returns the description with its files under names that a viewer asks the server for."""
        self._files = {}
        return MESH.sub(self._named, urdf)

    def read(self, name: str) -> bytes | None:
        """Content of a mesh by that name; None for anything else."""
        file = self._files.get(name)
        return file.read_bytes() if file and file.is_file() else None

    def _named(self, found: re.Match[str]) -> str:
        name = f"package://ferry/{len(self._files)}/{Path(found[1]).name}"
        self._files[name] = Path(found[1])
        return f'filename="{name}"'


class _Greeter(ServerListener):
    """Tells of new subscriptions."""

    def __init__(self, greet: Any) -> None:
        super().__init__()
        self._greet = greet

    def on_subscribe(self, client: Any, channel: Any) -> None:
        """Called by the server when a viewer subscribes."""
        self._greet(channel.topic)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `watch_node`."""
    run(WatchNode, args)


if __name__ == "__main__":
    main()
