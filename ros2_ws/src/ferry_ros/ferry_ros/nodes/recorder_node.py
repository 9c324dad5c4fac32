"""`recorder_node`: writes every trial of the graph in its namespace into one MCAP file, beside what drives the robot.

Runs in a process of its own, with a low priority; no other node knows of it or waits for it. A trial begins and ends
with policy_node's marks. Its file is in the folder of the trial's record, or else in `folder`. `/diagnostics` tells
of a disk that is full and of messages that were dropped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from evaluation.recordings.mcap_writer import Topic, close_unfinished
from ferry_ros.decision_view import DecisionView
from ferry_ros.graph_topics import BEGUN, DECISION, ENDED, GraphTopics
from ferry_ros.input_digests import InputDigests
from ferry_ros.messages import convert, diagnostics, qos
from ferry_ros.messages.trial_marks import folder_of
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.ros_stamps import ros_now
from ferry_ros.rclpy_support.timer import steady_timer
from ferry_ros.trial_recorder import Kept, Roles, TrialMark, TrialRecorder, values

NICENESS = 10
DEPTH = 200


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
        self._topics = GraphTopics(self, lambda topic, data: self._recorder.take(topic, data), DEPTH)
        inputs = self._topics.topic("recorder_node/inputs", DiagnosticArray)
        self._digests = InputDigests(self.resolve_topic_name, inputs, lambda line: self.get_logger().warning(line))
        self._view = DecisionView(self.resolve_topic_name)
        begun, ended, decision = map(self.resolve_topic_name, (BEGUN, ENDED, DECISION))
        self._recorder = TrialRecorder(folder, Roles(begun, ended, decision, _read_begun), self._watch, self._say)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVERY)
        self._topics.follow()
        steady_timer(self, 1.0, self._tell)

    def close(self, reason: str) -> None:
        """Closes the file of a trial that is running."""
        self._recorder.close()
        self._claim.close()

    def _close_left(self, folder: Path) -> None:
        """Closes what a killed recorder left open."""
        with suppress(OSError):  # a full disk is reported when a trial begins
            for path in close_unfinished(folder) if folder.is_dir() else ():
                self.get_logger().warning(f"closed a recording that was cut off: {path}")

    def _watch(self, topic: Topic, data: bytes, kept: Kept) -> list[tuple[Topic, bytes]]:
        return [*self._digests.watch(topic, data, kept), *self._view.watch(topic, data)]

    def _say(self, line: str, is_fault: bool) -> None:
        logger = self.get_logger()
        logger.error(line) if is_fault else logger.info(line)

    def _tell(self) -> None:
        state = self._recorder.state
        dropped = f"{state.dropped} messages were dropped: the disk is too slow" if state.dropped else ""
        fault = "; ".join(filter(None, (state.fault, dropped)))
        awaited = f"waiting for {', '.join(self._topics.silent) or 'a trial'}"
        message = fault or (f"recording {state.file}" if state.file else awaited)
        level = diagnostics.ERROR if fault else diagnostics.WARN if self._topics.silent else diagnostics.OK
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
