"""`estop_key`: a terminal whose every key stops the robot in its namespace. Clearing takes a whole word.

estop_key --ros-args -r __ns:=/stretch

A key is a button that stays in: it is pressed ten times a second until the supervisor's permit says that the stop is
latched. So one pressed before anybody hears it is not lost, nor is one whose clearing failed.
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
from ferry_ros.process import fail, run
from ferry_ros.timer import every
from robots.errors import RobotError

HELP = "Any key: emergency stop. The word clear, then Enter, clears it. Ctrl-C ends this."
CLEAR = "clear"
SETTLE_S = 0.3
PRESS_PERIOD_S = 0.1
CLEAR_TIMEOUT_S = 6.0
"""Longer than the supervisor takes when it cannot reach the robot node."""


class EstopKey(Node):
    """Reads keys, and publishes `estop` until the supervisor has it."""

    def __init__(self) -> None:
        super().__init__("estop_key")
        self.finished, self.exit_code = threading.Event(), 0
        self._estop = self.create_publisher(Bool, "estop", qos.EVERY)
        self._pressed = False
        self.create_subscription(DiagnosticStatus, "permit", self._take_permit, qos.NEWEST)
        every(self, PRESS_PERIOD_S, self._repeat)
        self._client = self.create_client(Trigger, "supervisor_node/clear")
        self._reader = threading.Thread(target=self._live, name="keys", daemon=True)
        self._reader.start()

    def close(self, reason: str) -> None:
        """Lets the terminal be as it was."""
        self._reader.join(1.0)

    def _live(self) -> None:
        """Reads until the end of the input, and ends the process once the supervisor has the last key's stop."""
        try:
            self._read()
            while self._pressed and not self.finished.wait(PRESS_PERIOD_S):
                pass
        except BaseException as error:  # such as a terminal that is gone: nobody shall rely on these keys
            fail(self, error)
        self.finished.set()

    def _read(self) -> None:
        print(HELP, flush=True)
        word = ""
        terminal = sys.stdin.fileno()
        with raw(terminal):
            while not self.finished.is_set():
                if not select.select([terminal], [], [], PRESS_PERIOD_S)[0]:
                    continue
                key = os.read(terminal, 1).decode(errors="replace")  # not sys.stdin: it reads ahead
                if not key:
                    return
                word = self._take(key, word)

    def _take(self, key: str, word: str) -> str:
        """Any key stops at once, Enter too; but Enter after the word that clears, whose letters stop as well."""
        enter = key in "\r\n"
        if enter and word.endswith(CLEAR):  # whatever was hit before
            self._pressed = False
            threading.Thread(target=self._clear, name="clear", daemon=True).start()  # the next key need not wait
            return ""
        self._press()
        if enter or not word:
            print("emergency stop", flush=True)
        return "" if enter else word + key

    def _press(self) -> None:
        self._pressed = True
        self._estop.publish(Bool(data=True))

    def _repeat(self) -> None:
        if self._pressed:
            self._press()

    def _take_permit(self, message: DiagnosticStatus) -> None:
        if report.values_of(message).get("estop"):
            self._pressed = False

    def _clear(self) -> None:
        """Has the supervisor clear the stop; where that fails it stays in, so that no late success undoes it."""
        time.sleep(SETTLE_S)  # the letters of the word pressed the stop as well, on a topic of their own
        try:
            answer = services.call(self._client, Trigger.Request(), timeout_s=CLEAR_TIMEOUT_S)
            said, cleared = answer.message, answer.success
        except RobotError as error:
            said, cleared = str(error), False
        if not cleared:
            self._press()
        print(f"{'cleared' if cleared else 'not cleared'}: {said}", flush=True)


@contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Keys come one by one while this lasts, where it is a terminal; only Ctrl-C is no key and still interrupts."""
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        yield
        return
    try:
        tty.setcbreak(terminal)
        mode = termios.tcgetattr(terminal)
        mode[0] &= ~termios.IXON  # Ctrl-S would hold up what is printed
        for key in (termios.VSUSP, termios.VQUIT):
            mode[6][key] = b"\0"
        termios.tcsetattr(terminal, termios.TCSANOW, mode)
        yield
    finally:
        with suppress(termios.error):  # a terminal that is gone needs no restoring
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `estop_key`."""
    run(EstopKey, args)


if __name__ == "__main__":
    main()
