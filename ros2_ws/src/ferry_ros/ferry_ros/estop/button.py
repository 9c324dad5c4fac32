"""A stop button in this process for one robot, and a process of its own that presses it when this one is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress

from rclpy.node import Node

from ferry_ros.estop import reach
from ferry_ros.estop.stop_target import StopTarget
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from ferry_ros.rclpy_support.timer import steady_timer
from robots.errors import RobotError

LOOK_PERIOD_S = 0.1
SETTLE_S = 0.3
"""Wait before clearing: a press under way arrives on a topic of its own."""
END_S = 8.0


class StopButton:
    """Emergency stop of the robot in a namespace: the code of `ferry stop`, for a program.

    A stop that was pressed is sent until it is latched, also to a robot that comes back. A child process runs
    `ferry stop` itself and presses when this process dies, however it dies.

    Args:
        node: in the robot's namespace; the topics have a sibling node and a thread of their own.
    """

    def __init__(self, node: Node) -> None:
        self._lock, self._pressed, self._said = threading.RLock(), "", ""
        self._namespace = node.get_namespace()
        own = sibling_node(node, "stop")
        self._target = StopTarget(own, self._namespace, self._lock, self._take_report, lambda _: self.fault)
        self._node = own
        self._guard = guard(self._namespace)
        steady_timer(own, LOOK_PERIOD_S, self._check)
        self._spinner = Spinner(own)

    @property
    def is_pressed(self) -> bool:
        """True when the stop was pressed, here or elsewhere, and not cleared."""
        return bool(self._pressed) or self._target.wanted or self._target.latched

    @property
    def is_latched(self) -> bool:
        """True when the supervisor, or the robot node where there is none, has confirmed it."""
        return self._target.heard and self._target.latched

    @property
    def why(self) -> str:
        """Reason; empty when it is not pressed."""
        return self._pressed or ("pressed elsewhere" if self.is_pressed else "")

    @property
    def fault(self) -> str:
        """Why a press would not reach the robot; empty when it would."""
        if self._guard.poll() is not None:
            return "the process that stops the robot when this one dies has ended; start `ferry trials run` again"
        return "" if self._target.heard else reach.reasons(self._namespace, reach.robots(self._node))

    def press(self, why: str) -> None:
        """Presses it; returns at once."""
        with self._lock:
            self._pressed = self._pressed or why
            self._target.press()

    def clear(self) -> None:
        """Clears it; RobotError if it stays on."""
        with self._lock:
            before, self._pressed = self._pressed, ""
            self._target.wanted, self._target.clearing = False, True
        time.sleep(SETTLE_S)
        if not self._target.clear():
            with self._lock:
                self._pressed = before or "it could not be cleared"
            raise RobotError(self._said)

    def close(self) -> None:
        """Ends the button and its guard without pressing."""
        self._spinner.close()
        with suppress(OSError):
            self._guard.terminate()
        try:
            self._guard.wait(END_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        if self._guard.stdin:
            self._guard.stdin.close()

    def _check(self) -> None:
        seen = reach.robots(self._node)
        with self._lock:
            if self._namespace in seen:
                self._target.see(seen[self._namespace])
            self._target.check(bool(self._pressed))
            if self._target.cleared:  # by somebody else
                self._target.cleared, self._pressed = False, ""

    def _take_report(self, line: str, loud: bool) -> None:
        self._said = line


def guard(namespace: str) -> subprocess.Popen[bytes]:
    """Starts `ferry stop` for a namespace as a child: the end of its input, which is ours, presses the stop."""
    command = [sys.executable, "-m", "ferry_ros.nodes.estop_key", "--ros-args", "-r", f"__ns:={namespace}"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
