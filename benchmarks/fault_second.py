"""Second ones: of a node in the same namespace, and of whoever tells where a body's joints or its base are."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fault_line import Line, wait
from fault_process import end, spawn
from fault_truth import INTRUDER
from fault_try import Fault, Seen, stood
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState

RATE_HZ = 50.0

KNOWN_S = 40.0
"""Until a second node has begun to work, or has ended."""

BOTH_S = 5.0
"""How long two of them are let work."""


class Telling:
    """Zeros, said of a body's joints or its pose by a second publisher of its vendor's own topic."""

    def __init__(self, node: Node, topic: str, kind: type[JointState | Odometry]) -> None:
        self._node, self._kind = node, kind
        self._names: list[str] = []
        self._ended = threading.Event()
        self._names_of = node.create_subscription(kind, topic, self._take, 1)
        self._publisher = node.create_publisher(kind, topic, 10)
        self._talker = threading.Thread(target=self._talk, daemon=True)
        self._talker.start()

    def close(self) -> None:
        """Says no more."""
        self._ended.set()
        self._talker.join()
        self._node.destroy_publisher(self._publisher)
        self._node.destroy_subscription(self._names_of)

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
    """A node of a kind of which there is one already."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def close(self) -> None:
        """Ends it."""
        end(self.process)

    @property
    def text(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")

    def works(self) -> bool:
        """Whether it says that it is there."""
        words = {"robot_node": "is ready", "policy_node": "trial ended", "supervisor_node": "\0"}
        return words[self.name] in self.text

    def last_word(self) -> str:
        """The last line of its log."""
        return next((line.strip() for line in reversed(self.text.splitlines()) if line.strip()), "nothing")


def second(name: str, **parameters: object) -> Callable[[Line, Fault], Seen]:
    """Starts a second one beside a trial under way, and looks who moves the robot; an e-stop ends what both do."""

    def judge(line: Line, fault: Fault) -> Seen:
        log = line.here.folder / f"second_{name}.log"
        with log.open("wb") as file:
            process = spawn(line.command(name, **parameters), stdout=file, stderr=file)
        line.intruder = other = Second(name, process, log)
        count = len(line.results)
        wait(lambda: other.works() or process.poll() is not None, KNOWN_S if name != "supervisor_node" else 8.0)
        status = process.poll()
        if name == "policy_node":
            drove = "trial ended: max_steps" in other.text
            return _ended(line, other, "the second policy node drove the robot beside the first" if drove else "")
        if status is not None:
            return _ended(line, other, "")
        time.sleep(BOTH_S)
        begun = Counter(one.stamp_ns for one in line.results[count:] if one.began_ns > 0)
        twice = sum(number > 1 for number in begun.values())
        return _ended(line, other, f"not refused, {twice} of {len(begun)} commands were executed twice")

    return judge


def _ended(line: Line, other: Second, trouble: str) -> Seen:
    """Stops the robot by its e-stop and measures from there."""
    said, lasts = other.last_word(), wait(line.truth.moving, 4.0)
    stop_s = time.monotonic()
    line.estop()
    time.sleep(1.5)
    seen = stood(line, stop_s)
    first = "the first drives on" if lasts else "the first drives no more"
    reason = f"second {other.name} ended with {other.process.poll()}, said: {said}; {first}"
    return Seen(seen.stood_s, seen.way, reason, trouble)
