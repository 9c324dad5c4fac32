"""`watch_node`: a live view of the graph in its namespace, for Foxglove or Rerun.

Cameras as JPEG, robot model, transforms, decisions with probabilities and deadline, stops, diagnostics. Read only: a
viewer can ask for nothing. Runs in a process of its own, with a low priority; no other node waits for it, and a viewer
that is slow loses images.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from evaluation.recordings.mcap_writer import Topic
from ferry_ros.decision_view import DecisionView
from ferry_ros.graph_topics import GraphTopics
from ferry_ros.live_view.live_view import LiveView
from ferry_ros.messages import images
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.process import fail, run
from robots.errors import RobotError, SpecError

NICENESS = 10
DEPTH = 5
VIEWERS = ("foxglove", "rerun")


@dataclass(frozen=True)
class WatchOptions:
    """Parameters of watch_node.

    Attributes:
        viewer: foxglove, whose viewers connect to this node; or rerun, to whose viewer this node connects.
        host: address that Foxglove connects to (0.0.0.0: from other machines too, without asking who they are), or the
            address of the Rerun viewer.
        port: of Foxglove's websocket, or of the Rerun viewer.
        image_rate_hz: most images a second of each camera [Hz].
    """

    viewer: str = "foxglove"
    host: str = "127.0.0.1"
    port: int = 8765
    image_rate_hz: float = 5.0


class WatchNode(Node):
    """Passes everything on to a viewer."""

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
        self._sent_s: dict[str, float] = {}
        self._decisions = DecisionView(self.resolve_topic_name)
        self._view = _view(options, self.get_namespace(), self.resolve_topic_name("robot_description"))
        self._topics = GraphTopics(self, self._take, DEPTH)
        self._topics.follow()
        self.get_logger().info(self._view.address)

    def close(self, reason: str) -> None:
        """Ends the connections."""
        self._view.close()
        self._claim.close()

    def _take(self, topic: Topic, data: bytes) -> None:
        if topic.kind == "sensor_msgs/msg/Image":
            self._image(topic, data)
            return
        self._view.take(topic, data)
        for other, made in self._decisions.watch(topic, data):
            self._view.take(other, made)

    def _image(self, topic: Topic, data: bytes) -> None:
        """Passes an image on as a JPEG, no more often than viewers need it."""
        now_s = time.monotonic()
        if now_s - self._sent_s.get(topic.name, 0.0) < self._period_s:
            return
        self._sent_s[topic.name] = now_s
        with suppress(RobotError):  # robot_node says so too
            message = deserialize_message(data, Image)
            jpeg = images.compressed_msg(images.decode(message), message.header)
            self._view.take(self._compressed(topic), bytes(serialize_message(jpeg)))

    def _compressed(self, topic: Topic) -> Topic:
        made = self._topics.topic("image", CompressedImage)
        return replace(made, name=f"{topic.name}/compressed")


def _view(options: WatchOptions, name: str, description: str) -> LiveView:
    """The connection to the viewer; each has a package of its own."""
    if options.viewer not in VIEWERS:
        raise SpecError("viewer", repr(options.viewer), f"one of {', '.join(VIEWERS)}")
    if options.viewer == "rerun":
        from ferry_ros.live_view.rerun_view import RerunView

        return RerunView(name, options.host, options.port, description)
    from ferry_ros.live_view.foxglove_view import FoxgloveView

    return FoxgloveView(name, options.host, options.port, description)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `watch_node`."""
    run(WatchNode, args)


if __name__ == "__main__":
    main()
