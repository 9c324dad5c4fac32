"""`estop_key`: a terminal whose every key stops the robot in its namespace. Clearing takes a whole word.

estop_key --ros-args -r __ns:=/stretch

A key is a button that stays in: it is pressed ten times a second until the supervisor's permit says that the stop is
latched, so that one pressed before anybody hears it is not lost.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from ferry_ros import qos, report, services
from ferry_ros.process import run
from robots.errors import RobotError

HELP = "Any key: emergency stop. The word clear, then Enter, clears it. Ctrl-C ends this."
CLEAR = "clear"
SETTLE_S = 0.3
PRESS_PERIOD_S = 0.1


class EstopKey(Node):
    """Reads keys, and publishes `estop` until the supervisor has it."""

    def __init__(self) -> None:
        super().__init__("estop_key")
        self.finished, self.exit_code = threading.Event(), 0
        self._estop = self.create_publisher(Bool, "estop", qos.EVERY)
        self._pressed = False
        self.create_subscription(DiagnosticStatus, "permit", self._take_permit, qos.NEWEST)
        self._client = self.create_client(Trigger, "supervisor_node/clear")
        self._reader = threading.Thread(target=self._read, name="keys", daemon=True)
        self._reader.start()

    def close(self, reason: str) -> None:
        """Lets the terminal be as it was."""
        self._reader.join(1.0)

    def _read(self) -> None:
        print(HELP, flush=True)
        word = ""
        terminal = sys.stdin.fileno()
        with raw(terminal):
            while not self.finished.is_set():
                if not select.select([terminal], [], [], PRESS_PERIOD_S)[0]:
                    if self._pressed:
                        self._press()
                    continue
                key = os.read(terminal, 1).decode(errors="replace")  # not sys.stdin: it reads ahead
                if not key:
                    break
                word = self._take(key, word)
        self.finished.set()

    def _take(self, key: str, word: str) -> str:
        """Any key stops at once, Enter too; but Enter after the word that clears, whose letters stop as well."""
        enter = key in "\r\n"
        if enter and word == CLEAR:
            self._clear()
            return ""
        self._press()
        if enter or not word:
            print("emergency stop", flush=True)
        return "" if enter else word + key

    def _press(self) -> None:
        self._pressed = True
        self._estop.publish(Bool(data=True))

    def _take_permit(self, message: DiagnosticStatus) -> None:
        if report.values_of(message).get("estop"):
            self._pressed = False

    def _clear(self) -> None:
        self._pressed = False
        time.sleep(SETTLE_S)  # the letters of the word pressed the stop as well, on a topic of their own
        try:
            answer = services.call(self._client, Trigger.Request(), timeout_s=3.0)
            print(f"cleared: {answer.message}" if answer.success else f"not cleared: {answer.message}", flush=True)
        except RobotError as error:
            print(f"not cleared: {error}", flush=True)


@contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Keys come one by one while this lasts, where it is a terminal; Ctrl-C still interrupts."""
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        yield
        return
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        with suppress(termios.error):  # a terminal that is gone needs no restoring
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `estop_key`."""
    run(EstopKey, args)


if __name__ == "__main__":
    main()
