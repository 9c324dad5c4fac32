"""Robot that a key stops: its connection, and the latch of its stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from ferry_ros.messages import diagnostics, qos
from ferry_ros.rclpy_support import services
from robots.errors import RobotError

LOST_S = 0.7
"""A supervisor, which publishes at 20 Hz, counts as lost after so long a silence."""
PATIENCE_S = 0.5
"""A stop that is not latched by then counts as not received."""
AGAIN_S = 1.0
"""Period of the repeated report of that."""
CLEAR_TIMEOUT_S = 6.0
"""Longer than the supervisor takes when it cannot reach the robot node."""


class StopTarget:
    """Emergency stop of the robot in `namespace`.

    Args:
        node: spun in another thread; this is closed with it.
        lock: protects the state.
        report: called with a line, and whether it is loud.
        why: returns why the robots of a namespace may not be reached.

    Attributes:
        supervised: there is a supervisor, whose permit reports the latch; otherwise `runstop` of robot_node is called.
        heard: a message was received recently.
        latched: its stop is on, by its last report.
        wanted: its stop is to be pressed until it is latched.
        mine: it was not latched yet when it was pressed here.
        clearing: it is being cleared from here.
        cleared: another client cleared it.
        since_s: time of its discovery, or of its loss.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        lock: threading.RLock,
        report: Callable[[str, bool], None],
        why: Callable[[str], str],
    ) -> None:
        self.namespace, self._lock, self._report, self._why = namespace, lock, report, why
        self.supervised, self.since_s = True, time.monotonic()
        self.heard = self.latched = self.wanted = self.mine = self.clearing = self.cleared = False
        self._spoke_s = self._pressed_s = self._reported_s = self._asked_s = 0.0
        before = namespace.rstrip("/")
        self._estop = node.create_publisher(Bool, f"{before}/estop", qos.EVERY)
        self._clear = node.create_client(Trigger, f"{before}/supervisor_node/clear")
        self._runstop = node.create_client(SetBool, f"{before}/runstop")
        node.create_subscription(DiagnosticStatus, f"{before}/permit", self._take_permit, qos.NEWEST)
        node.create_subscription(Bool, f"{before}/robot_heartbeat", self._take_heartbeat, qos.NEWEST)

    @property
    def name(self) -> str:
        """Description with the namespace."""
        return f"{'supervisor' if self.supervised else 'robot without a supervisor'} in {self.namespace}"

    def see(self, supervised: bool) -> None:
        """Sets whether a supervisor was discovered; after a change it must be received and latched anew."""
        if supervised != self.supervised:
            self.supervised, self.since_s = supervised, time.monotonic()
            self.heard = self.latched = False

    def press(self, report: bool = True) -> None:
        """Presses the stop, now and until it is latched; `report`: also where it is latched already."""
        now = time.monotonic()
        if self.heard and self.latched:
            if report:
                self._report(f"LATCHED in {self.namespace}", False)
        elif not self.wanted:
            self.wanted = self.mine = True
            self._pressed_s, self._reported_s = now, now + PATIENCE_S - AGAIN_S
        self._send(now)

    def check(self, stop: bool) -> None:
        """Checks for silence, and repeats the press; `stop`: press for a robot that appears."""
        now = time.monotonic()
        was, self.heard = self.heard, now - self._spoke_s < LOST_S
        if self.heard and not was:
            self._report(f"{self.name} found", False)
            if stop and not self.wanted:
                self.press()
        elif was and not self.heard:
            self.latched, self.since_s = False, now
            self._report(f"LOST: the {self.name} is not heard any more", True)
        if self.wanted:
            self._send(now)
            if now - self._reported_s >= AGAIN_S:
                self._reported_s = now
                waited = f"{now - self._pressed_s:.1f} s"
                self._report(f"NOT heard in {self.namespace} for {waited}: {self._why(self.namespace)}", True)

    def clear(self) -> bool:
        """Clears its stop and reports the result; presses it again after a failure. Blocks: call without the lock."""
        client, request = (self._clear, Trigger.Request()) if self.supervised else (self._runstop, SetBool.Request())
        try:
            answer = services.call(client, request, timeout_s=CLEAR_TIMEOUT_S)
            cleared, message = bool(answer.success), str(answer.message)
        except RobotError as error:
            cleared, message = False, str(error)
        with self._lock:
            self.clearing = False
            self._report(f"{'cleared' if cleared else 'NOT cleared'} in {self.namespace}: {message}", not cleared)
            if cleared:
                self.latched = self.mine = False
            else:
                self.press()
        return cleared

    def _send(self, now: float) -> None:
        self._estop.publish(Bool(data=True))
        if not self.supervised and now - self._asked_s > AGAIN_S and self._runstop.service_is_ready():
            self._asked_s = now
            self._runstop.call_async(SetBool.Request(data=True)).add_done_callback(self._take_answer)

    def _take_permit(self, message: DiagnosticStatus) -> None:
        """Takes the supervisor's report of its latch, which is empty while it is being cleared."""
        with self._lock:
            self.see(supervised=True)
            self._speak()
            if diagnostics.values_of(message).get("estop"):
                self._latch()
            elif message.level == DiagnosticStatus.OK and self.latched:
                self.latched = self.mine = False
                self.cleared = not self.clearing
                if self.cleared:
                    self._report(f"cleared in {self.namespace} by somebody else", False)

    def _take_heartbeat(self, message: Bool) -> None:
        with self._lock:
            if message.data and not self.supervised:
                self._speak()

    def _take_answer(self, future: Any) -> None:
        with self._lock:
            if future.exception() is None and not self.supervised:
                self._latch()

    def _speak(self) -> None:
        now = time.monotonic()
        if now - self._spoke_s > LOST_S:  # it may be a restarted one, without the stop
            self.heard = self.latched = False
        self._spoke_s = now

    def _latch(self) -> None:
        if self.wanted:
            self._report(f"LATCHED in {self.namespace} after {time.monotonic() - self._pressed_s:.2f} s", False)
        elif not self.latched and not self.clearing:
            self._report(f"LATCHED in {self.namespace}: {'it was already' if self.mine else 'not from here'}", False)
        self.latched, self.wanted = True, False
