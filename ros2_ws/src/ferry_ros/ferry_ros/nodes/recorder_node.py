"""`recorder_node`: writes every trial of the graph in its namespace into one MCAP file, beside what drives the robot.

Runs in a process of its own, with a low priority; no other node knows of it or waits for it. A trial begins and ends
with policy_node's marks. Its file stands in the folder of the trial's record, or else in `folder`. `/diagnostics` tells
of a disk that is full and of messages that were dropped.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from evaluation.recordings.mcap_writer import Topic, close_unfinished
from ferry_ros.input_digests import InputDigests
from ferry_ros.interfaces.message_text import begins_with_header, kind_of, message_text
from ferry_ros.interfaces.tf_message import tf_message
from ferry_ros.messages import convert, diagnostics, qos
from ferry_ros.messages.trial_marks import folder_of
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.ros_stamps import ros_now
from ferry_ros.rclpy_support.timer import steady_timer
from ferry_ros.trial_recorder import Roles, TrialMark, TrialRecorder, values
from robots.embodiment import Embodiment
from robots.errors import RobotError

NICENESS = 10
DEPTH = 200
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
"""What is recorded besides the cameras, /tf and the latched topics."""

KEPT: dict[str, Any] = {
    "embodiment": String,
    "robot_description": String,
    "instruction": String,
    "policy_node/instruction": String,
    BEGUN: DiagnosticArray,
    ENDED: DiagnosticArray,
}
"""Latched topics."""


@dataclass(frozen=True)
class RecorderOptions:
    """Parameters of recorder_node.

    Attributes:
        folder: folder of the recordings of trials without a record of their own; left open ones in it are closed.
    """

    folder: str = "runs/recordings"


class RecorderNode(Node):
    """Subscribes to everything and passes it on as it came."""

    def __init__(self) -> None:
        super().__init__("recorder_node")
        with suppress(OSError):
            os.nice(NICENESS)
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, RecorderOptions)
        self._claim = Claim(self, "recorder_node", lambda _: None, partial(fail, self))
        self._claim.settle()
        folder = Path(parameters.read(self, RecorderOptions).folder).expanduser()
        self._close_left(folder)
        self._topics: dict[str, Topic] = {}
        self._silent = {self.resolve_topic_name("embodiment")}
        inputs = self._topic("recorder_node/inputs", DiagnosticArray)
        self._digests = InputDigests(self.resolve_topic_name, inputs, lambda line: self.get_logger().warning(line))
        begun, ended, decision = map(self.resolve_topic_name, (BEGUN, ENDED, DECISION))
        roles = Roles(begun, ended, decision, _read_begun)
        self._recorder = TrialRecorder(folder, roles, self._digests.watch, self._say)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVERY)
        for name, kind in TOPICS.items():
            self._follow(name, kind)
        for name, kind in KEPT.items():
            self._follow(name, kind, latched=True)
        with suppress(ImportError):  # robot_node says so too
            self._follow("/tf", tf_message())
            self._follow("/tf_static", tf_message(), latched=True)
        self.create_subscription(String, "embodiment", self._take_embodiment, qos.LATCHED)
        steady_timer(self, 1.0, self._tell)

    def close(self, reason: str) -> None:
        """Closes the file of a trial that is running."""
        self._recorder.close()
        self._claim.close()

    def _close_left(self, folder: Path) -> None:
        """Closes what a killed recorder left open."""
        with suppress(OSError):  # a full disk is told when a trial begins
            for path in close_unfinished(folder) if folder.is_dir() else ():
                self.get_logger().warning(f"closed a recording that was cut off: {path}")

    def _topic(self, name: str, kind: Any, latched: bool = False) -> Topic:
        full, text = self.resolve_topic_name(name), message_text(kind_of(kind))
        return Topic(full, kind_of(kind), text, latched, begins_with_header(text))

    def _follow(self, name: str, kind: Any, latched: bool = False) -> None:
        topic = self._topic(name, kind, latched)
        if topic.name in self._topics:
            return
        self._topics[topic.name] = topic
        profile = LATCHED if latched else qos.newest(DEPTH)
        self.create_subscription(kind, name, partial(self._take, topic), profile, raw=True)

    def _take(self, topic: Topic, data: Any) -> None:
        self._silent.discard(topic.name)
        self._recorder.take(topic, bytes(data))

    def _take_embodiment(self, message: String) -> None:
        """Follows the cameras of the robot."""
        try:
            body = Embodiment.from_json(json.loads(message.data))
        except (RobotError, ValueError) as error:
            self.get_logger().error(f"embodiment: {error}; its cameras are not recorded")
            return
        self._silent |= {self.resolve_topic_name(f"camera/{camera.name}/image_raw") for camera in body.cameras}
        for camera in body.cameras:
            self._follow(f"camera/{camera.name}/image_raw", Image)
            self._follow(f"camera/{camera.name}/camera_info", CameraInfo)

    def _say(self, line: str, is_fault: bool) -> None:
        logger = self.get_logger()
        logger.error(line) if is_fault else logger.info(line)

    def _tell(self) -> None:
        state = self._recorder.state
        dropped = f"{state.dropped} messages were dropped: the disk is too slow" if state.dropped else ""
        fault = "; ".join(filter(None, (state.fault, dropped)))
        awaited = f"waiting for {', '.join(sorted(self._silent)) or 'a trial'}"
        message = fault or (f"recording {state.file}" if state.file else awaited)
        level = diagnostics.ERROR if fault else diagnostics.WARN if self._silent else diagnostics.OK
        one = diagnostics.status(f"{self.get_name()}: recorder", level, message, values(state))
        self._diagnostics.publish(diagnostics.diagnostics(ros_now(self), one))


def _read_begun(data: bytes) -> TrialMark:
    message = deserialize_message(data, DiagnosticArray)
    return TrialMark(convert.stamp_of(message.header), folder_of(message))


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `recorder_node`."""
    run(RecorderNode, args)


if __name__ == "__main__":
    main()
