"""One robot that a key stops: whether it is heard, and whether its stop is latched."""

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
"""A supervisor that is silent for so long, though it speaks twenty times a second, is not heard any more."""
PATIENCE_S = 0.5
"""A stop that is not latched after it counts as not heard."""
AGAIN_S = 1.0
"""How often that is told again."""
CLEAR_TIMEOUT_S = 6.0
"""Longer than the supervisor takes when it cannot reach the robot node."""


class StopTarget:
    """The robot in `namespace`.

    Args:
        node: spun in another thread; who closes it closes this.
        lock: held while anything here is looked at or changed.
        tell: called with a line, and whether it is loud.
        why: tells why the robots of a namespace may not hear.

    Attributes:
        supervised: whether there is a supervisor, whose permit tells what is latched. A robot_node alone is asked.
        heard: it spoke lately.
        latched: its stop is on, as it said last.
        wanted: its stop is to be pressed until it is latched.
        mine: it was not latched yet when it was pressed here.
        clearing: it is being cleared from here.
        cleared: somebody else cleared it.
        since_s: since when it is seen, or not heard any more.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        lock: threading.RLock,
        tell: Callable[[str, bool], None],
        why: Callable[[str], str],
    ) -> None:
        self.namespace, self._lock, self._tell, self._why = namespace, lock, tell, why
        self.supervised, self.since_s = True, time.monotonic()
        self.heard = self.latched = self.wanted = self.mine = self.clearing = self.cleared = False
        self._spoke_s = self._pressed_s = self._told_s = self._asked_s = 0.0
        before = namespace.rstrip("/")
        self._estop = node.create_publisher(Bool, f"{before}/estop", qos.EVERY)
        self._clear = node.create_client(Trigger, f"{before}/supervisor_node/clear")
        self._runstop = node.create_client(SetBool, f"{before}/runstop")
        node.create_subscription(DiagnosticStatus, f"{before}/permit", self._take_permit, qos.NEWEST)
        node.create_subscription(Bool, f"{before}/robot_heartbeat", self._take_heartbeat, qos.NEWEST)

    @property
    def name(self) -> str:
        """What it is, with its namespace."""
        return f"{'supervisor' if self.supervised else 'robot without a supervisor'} in {self.namespace}"

    def see(self, supervised: bool) -> None:
        """Says whether a supervisor is seen; who comes or goes is another one to be heard, and latched."""
        if supervised != self.supervised:
            self.supervised, self.since_s = supervised, time.monotonic()
            self.heard = self.latched = False

    def press(self, tell: bool = True) -> None:
        """Presses the stop, now and until it is latched; `tell`: also where it is latched already."""
        now = time.monotonic()
        if self.heard and self.latched:
            if tell:
                self._tell(f"LATCHED in {self.namespace}", False)
        elif not self.wanted:
            self.wanted = self.mine = True
            self._pressed_s, self._told_s = now, now + PATIENCE_S - AGAIN_S
        self._send(now)

    def check(self, stop: bool) -> None:
        """Judges its silence, and presses on; `stop`: one that comes is to be stopped."""
        now = time.monotonic()
        was, self.heard = self.heard, now - self._spoke_s < LOST_S
        if self.heard and not was:
            self._tell(f"{self.name} found", False)
            if stop and not self.wanted:
                self.press()
        elif was and not self.heard:
            self.latched, self.since_s = False, now
            self._tell(f"LOST: the {self.name} is not heard any more", True)
        if self.wanted:
            self._send(now)
            if now - self._told_s >= AGAIN_S:
                self._told_s = now
                waited = f"{now - self._pressed_s:.1f} s"
                self._tell(f"NOT heard in {self.namespace} for {waited}: {self._why(self.namespace)}", True)

    def clear(self) -> bool:
        """Clears its stop and tells how that went; where it fails, it is pressed again. Waits: hold no lock."""
        client, request = (self._clear, Trigger.Request()) if self.supervised else (self._runstop, SetBool.Request())
        try:
            answer = services.call(client, request, timeout_s=CLEAR_TIMEOUT_S)
            cleared, said = bool(answer.success), str(answer.message)
        except RobotError as error:
            cleared, said = False, str(error)
        with self._lock:
            self.clearing = False
            self._tell(f"{'cleared' if cleared else 'NOT cleared'} in {self.namespace}: {said}", not cleared)
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
        """The supervisor tells what is latched, but nothing while that is being cleared."""
        with self._lock:
            self.see(supervised=True)
            self._speak()
            if diagnostics.values_of(message).get("estop"):
                self._latch()
            elif message.level == DiagnosticStatus.OK and self.latched:
                self.latched = self.mine = False
                self.cleared = not self.clearing
                if self.cleared:
                    self._tell(f"cleared in {self.namespace} by somebody else", False)

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
        if now - self._spoke_s > LOST_S:  # it may be another one, started since, that knows of no stop
            self.heard = self.latched = False
        self._spoke_s = now

    def _latch(self) -> None:
        if self.wanted:
            self._tell(f"LATCHED in {self.namespace} after {time.monotonic() - self._pressed_s:.2f} s", False)
        elif not self.latched and not self.clearing:
            self._tell(f"LATCHED in {self.namespace}: {'it was already' if self.mine else 'not from here'}", False)
        self.latched, self.wanted = True, False
