"""Everything that a graph says, passed on as the bytes that came over DDS: for a recording, or a live view."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from evaluation.recordings.mcap_writer import Topic
from ferry_ros.interfaces.message_text import begins_with_header, kind_of, message_text
from ferry_ros.interfaces.tf_message import tf_message
from ferry_ros.messages import qos
from ferry_ros.messages.json_text import read_json
from robots.embodiment import Embodiment
from robots.errors import RobotError

LATCHED = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEGUN, ENDED, DECISION, COMMAND = "policy_node/trial_begun", "policy_node/trial", "policy_node/decision", "command"

TOPICS: dict[str, Any] = {
    "state": JointState,
    "joint_states": JointState,
    "odom": Odometry,
    COMMAND: JointTrajectory,
    "result": DiagnosticArray,
    "stopped": DiagnosticStatus,
    "permit": DiagnosticStatus,
    "estop": Bool,
    DECISION: DiagnosticArray,
    "/diagnostics": DiagnosticArray,
}
"""Topics besides the cameras, /tf and the latched ones."""

KEPT: dict[str, Any] = {
    "embodiment": String,
    "robot_description": String,
    "instruction": String,
    "policy_node/instruction": String,
    BEGUN: DiagnosticArray,
    ENDED: DiagnosticArray,
}
"""Latched topics."""


class GraphTopics:
    """Subscriptions to the graph in the namespace of `node`.

    Args:
        node: whose subscriptions they are.
        take: called with each message of a topic, in CDR.
        depth: messages that may wait.
    """

    def __init__(self, node: Node, take: Callable[[Topic, bytes], None], depth: int) -> None:
        self._node, self._take, self._depth = node, take, depth
        self._topics: dict[str, Topic] = {}
        self._silent = {node.resolve_topic_name("embodiment")}

    @property
    def silent(self) -> list[str]:
        """Topics without which there is no observation, and which carried nothing so far."""
        return sorted(self._silent)

    def follow(self) -> None:
        """Subscribes to everything; to the cameras once the robot's embodiment is known."""
        for name, kind in TOPICS.items():
            self._follow(name, kind)
        for name, kind in KEPT.items():
            self._follow(name, kind, latched=True)
        with suppress(ImportError):  # robot_node says so too
            self._follow("/tf", tf_message())
            self._follow("/tf_static", tf_message(), latched=True)
        self._node.create_subscription(String, "embodiment", self._take_embodiment, qos.LATCHED)

    def topic(self, name: str, kind: Any, latched: bool = False) -> Topic:
        """The topic of a name in the node's namespace, with its type's definition."""
        text = message_text(kind_of(kind))
        full = self._node.resolve_topic_name(name)
        return Topic(full, kind_of(kind), text, latched, begins_with_header(text))

    def _follow(self, name: str, kind: Any, latched: bool = False) -> None:
        topic = self.topic(name, kind, latched)
        if topic.name not in self._topics:
            self._topics[topic.name] = topic
            profile = LATCHED if latched else qos.newest(self._depth)
            self._node.create_subscription(kind, name, partial(self._pass_on, topic), profile, raw=True)

    def _pass_on(self, topic: Topic, data: Any) -> None:
        self._silent.discard(topic.name)
        self._take(topic, bytes(data))

    def _take_embodiment(self, message: String) -> None:
        try:
            body = Embodiment.from_json(read_json(message.data))
        except (RobotError, ValueError) as error:
            self._node.get_logger().error(f"embodiment: {error}; the cameras of this robot are not followed")
            return
        for camera in body.cameras:
            topic = f"camera/{camera.name}/image_raw"
            if self._node.resolve_topic_name(topic) not in self._topics:
                self._silent.add(self._node.resolve_topic_name(topic))
            self._follow(topic, Image)
            self._follow(f"camera/{camera.name}/camera_info", CameraInfo)
