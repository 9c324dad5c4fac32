"""Second ones: of a node in the same namespace, and of whoever tells where a robot's joints or its base are."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState

from benchmarks.faults.attempt import Fault, Seen, stood
from benchmarks.faults.line import Line, wait
from benchmarks.faults.process import end, spawn
from benchmarks.faults.truth import INTRUDER

RATE_HZ = 50.0

KNOWN_S = 40.0
"""Until a second node has begun to work, or has ended."""

SUPERVISOR_S = 8.0
"""Until a second supervisor has ended, or will not."""

BOTH_S = 5.0
"""How long two of them are let work."""

DECISION = "second/decision"

ONE_TRIAL = (
    "-p",
    "run_once:=true",
    "-p",
    "max_steps:=8",
    "-p",
    "server_timeout_s:=0.0",
    "-r",
    f"~/decision:={DECISION}",
)
"""Has a second policy node begin a trial by itself and tell its steps where they are not mistaken for the first's."""


class Telling:
    """Zeros, published for a robot's joints or its pose by a second publisher of its vendor's own topic."""

    def __init__(self, node: Node, topic: str, kind: type[JointState | Odometry]) -> None:
        self._node, self._kind = sibling_node(node, "second"), kind
        self._names: list[str] = []
        self._ended = threading.Event()
        self._node.create_subscription(kind, topic, self._take, 1)
        self._publisher = self._node.create_publisher(kind, topic, 10)
        self._spinner = Spinner(self._node)
        self._talker = threading.Thread(target=self._talk, daemon=True)
        self._talker.start()

    def close(self) -> None:
        """Says no more."""
        self._ended.set()
        self._talker.join()
        self._spinner.close()

    def _take(self, message: JointState | Odometry) -> None:
        if isinstance(message, JointState) and message.header.frame_id != INTRUDER:
            self._names = list(message.name)

    def _talk(self) -> None:
        while not self._ended.wait(1.0 / RATE_HZ):
            message = self._kind()
            message.header.frame_id = INTRUDER
            message.header.stamp = self._node.get_clock().now().to_msg()
            if isinstance(message, JointState):
                zeros = [0.0] * len(self._names)
                message.name, message.position, message.velocity = self._names, zeros, zeros
            self._publisher.publish(message)


def tell_joints(line: Line) -> None:
    """A joint_state_publisher that somebody started beside the driver."""
    line.intruder = Telling(line.here.node, line.body.joints, JointState)


def tell_odometry(line: Line) -> None:
    """An estimator, or a simulator, that publishes on the wheels' topic."""
    line.intruder = Telling(line.here.node, line.body.odometry, Odometry)


@dataclass
class Second:
    """A node of a kind of which there is one already, and what it did."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    drove: int = 0

    def close(self) -> None:
        """Ends it."""
        end(self.process)

    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None

    def works(self) -> bool:
        """Whether a second robot node says that it is there, or a second policy node's trial has ended."""
        words = {"robot_node": "is ready", "policy_node": "trial ended"}
        return self.name in words and words[self.name] in self.log.read_text(errors="replace")

    def last_word(self) -> str:
        """The last line of its log, without where this machine has its Python."""
        lines = self.log.read_text(errors="replace").replace(sys.executable, "python").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")

    def take(self, message: DiagnosticArray) -> None:
        """Counts a step of it that the robot did."""
        self.drove += message.status[0].level == DiagnosticStatus.OK


def second(name: str, *words: str) -> Callable[[Line, Fault], Seen]:
    """Starts a second one beside a trial under way, and looks who moves the robot; an e-stop ends what both do."""

    def judge(line: Line, fault: Fault) -> Seen:
        log = line.here.folder / f"second_{name}.log"
        with log.open("wb") as file:
            process = spawn(line.command(name, *words), stdout=file, stderr=file)
        line.intruder = other = Second(name, process, log)
        ears = sibling_node(line.here.node, "ears")
        ears.create_subscription(DiagnosticArray, DECISION, other.take, 10)
        spinner = Spinner(ears)
        try:
            wait(lambda: other.works() or other.ended(), KNOWN_S if name != "supervisor_node" else SUPERVISOR_S)
            return _judged(line, other)
        finally:
            spinner.close()

    return judge


def _judged(line: Line, other: Second) -> Seen:
    count = len(line.results)
    if other.name == "policy_node":
        time.sleep(0.5)
        return _stopped(line, other, f"the second policy node drove {other.drove} steps" if other.drove else "")
    if other.ended():
        return _stopped(line, other, "")
    time.sleep(BOTH_S)
    begun = Counter(one.stamp_ns for one in line.results[count:] if one.began_ns > 0)
    twice = sum(number > 1 for number in begun.values())
    return _stopped(line, other, f"not refused, {twice} of {len(begun)} commands were executed twice")


def _stopped(line: Line, other: Second, trouble: str) -> Seen:
    """Stops the robot by the e-stop and measures from there, but not where two twins say where they are."""
    printed, lasts = other.last_word(), wait(line.truth.moving, 4.0)
    stop_s = time.monotonic()
    line.estop()
    time.sleep(1.5)
    seen = stood(line, stop_s) if line.body.fake or other.name != "robot_node" else Seen()
    first = "the first drives on" if lasts else "the first drives no more"
    reason = f"second {other.name} ended with {other.process.poll()}, printed: {printed}; {first}"
    return Seen(seen.stood_s, seen.way, reason, trouble)
