"""`estop_key`: a terminal whose every key stops robots, and which says whether they heard it. Clearing takes a word.

estop_key                                every robot that is found
estop_key --ros-args -r __ns:=/stretch   the robot in that namespace, and those below it

A key is a button that stays in: it is pressed ten times a second until each supervisor's permit says that the stop is
latched, and at every robot that comes later. So one pressed before anybody hears it is not lost, nor is one whose
clearing failed. It speaks over UDP alone: shared memory of another user, of a container, or that was removed, keeps no
stop from a robot.
"""

from __future__ import annotations

import math
import os
import select
import sys
import threading
import time
from collections.abc import Sequence

from rclpy.node import Node

from ferry_ros.estop import reach
from ferry_ros.estop.stop_target import AGAIN_S, PATIENCE_S, StopTarget
from ferry_ros.estop.terminal import Lines, raw
from ferry_ros.rclpy_support import context
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.timer import steady_timer

HELP = "Any key: emergency stop. The word clear, then Enter, clears it. Ctrl-C ends this."
CLEAR = "clear"
SETTLE_S = 0.3
LOOK_PERIOD_S = 0.1
SEE_PERIOD_S = 0.3
"""How often the ROS graph is asked which robots there are."""
FIND_S = 2.0
"""Two processes know each other after it; who was not heard by then is not there, or silent."""
LAST_S = 3.0
"""How long the end of a terminal, which presses the stop, waits for it to be latched."""
HOUR_S = 3600.0
"""How often it is told that nobody listens while nothing is pressed."""
ASKED = ("SIGINT", "SIGTERM")
"""Ends that somebody asked for. Every other one presses the stop."""


class EstopKey(Node):
    """Reads keys, and stops every robot in its namespace and below it."""

    def __init__(self) -> None:
        super().__init__("estop_key")
        self.finished, self.exit_code = threading.Event(), 0
        self._lines = Lines(self._fail)
        self._lock = threading.RLock()
        self._namespace = self.get_namespace()
        self._targets: dict[str, StopTarget] = {}
        self._seen: dict[str, bool] = {}
        self._silent: set[str] = set()
        self._stop, self._pressed_s = False, 0.0
        self._heard_s, self._see_s, self._told_s = time.monotonic(), 0.0, -math.inf
        self._lines.tell(HELP)
        if self._namespace != "/":
            self._add(self._namespace)
        steady_timer(self, LOOK_PERIOD_S, self._look)
        self._reader = threading.Thread(target=self._live, name="keys", daemon=True)
        self._reader.start()

    def close(self, reason: str) -> None:
        """Presses a last time where nobody asked for this end; says what stands; lets the terminal be as it was."""
        if reason not in ASKED and not self._latched():
            self._press()
            self._wait(LAST_S)
        with self._lock:
            still = [one.namespace for one in self._targets.values() if one.heard and one.latched]
            missed = self._stop and not self._latched()
        self.exit_code = self.exit_code or int(missed)
        told = f"; still latched in {', '.join(still)}" if still else ""
        told += "; the stop that was pressed is NOT latched everywhere" if missed else ""
        self._lines.tell(f"ended ({reason}): no stop is at hand any more{told}", loud=True)
        self._lines.close()
        self._reader.join(1.0)

    def _fail(self, error: BaseException) -> None:
        """Ends, as nobody shall rely on keys that cannot tell what they do; the terminal that went is why it ends."""
        if not self.finished.is_set():
            fail(self, error)

    def _live(self) -> None:
        """Reads until the end of the input, which presses as well. Where that was no terminal, waits until it is
        latched."""
        try:
            terminal = sys.stdin.fileno()
            patience_s = 0.0 if os.isatty(terminal) else math.inf
            self._read(terminal)
            if not self.finished.is_set():
                self._press()
                self._wait(patience_s)
        except BaseException as error:
            self._fail(error)
        self.finished.set()

    def _read(self, terminal: int) -> None:
        word = ""
        with raw(terminal):
            while not self.finished.is_set():
                if not select.select([terminal], [], [], LOOK_PERIOD_S)[0]:
                    continue
                try:
                    key = os.read(terminal, 1).decode(errors="replace")  # not sys.stdin: it reads ahead
                except OSError:  # EIO: the terminal was closed
                    return
                if not key:
                    return
                word = self._take(key, word)

    def _wait(self, most_s: float) -> None:
        """Waits until every robot's stop is latched, but no longer than `most_s`."""
        until = time.monotonic() + most_s
        while not self._latched() and time.monotonic() < until:
            time.sleep(LOOK_PERIOD_S / 2)

    def _take(self, key: str, word: str) -> str:
        """Any key stops at once, Enter too; but Enter after the word that clears, whose letters stop as well."""
        enter = key in "\r\n"
        if enter and word.endswith(CLEAR):  # whatever was hit before
            self._clear()
            return ""
        if enter or not word:
            self._lines.tell("pressed")
        self._press(tell=enter or not word)
        return "" if enter else word + key

    def _press(self, tell: bool = True) -> None:
        with self._lock:
            if not self._stop:
                self._stop, self._pressed_s = True, time.monotonic()
            for one in self._present():
                one.press(tell)

    def _clear(self) -> None:
        """Clears what was pressed here; where that fails it stays in, so that no late success undoes it."""
        with self._lock:
            self._stop = False
            present = self._present()
            for one in present:
                one.wanted, one.clearing = False, one.mine or one.namespace == self._namespace
                if not one.clearing:
                    told = f"somebody else pressed it: ferry stop --namespace {one.namespace} clears it"
                    self._lines.tell(f"NOT cleared in {one.namespace}: {told}", loud=True)
        if not present:
            self._lines.tell("NOT cleared: no robot is found", loud=True)
            self._press()
        for one in present:
            if one.clearing:  # each in a thread of its own: neither the next key nor another robot waits for it
                threading.Thread(target=self._clear_one, args=(one,), name="clear", daemon=True).start()

    def _clear_one(self, one: StopTarget) -> None:
        time.sleep(SETTLE_S)  # the letters of the word pressed the stop as well, on a topic of their own
        if not one.clear():
            with self._lock:
                self._stop = True

    def _present(self) -> list[StopTarget]:
        """Robots that are to hear a key now; one that is gone is stopped when it comes back."""
        named = {*self._seen, self._namespace}
        return [one for one in self._targets.values() if one.heard or one.wanted or one.namespace in named]

    def _latched(self) -> bool:
        """Whether the stop is pressed, and latched in every robot that is there."""
        with self._lock:
            present = self._present()
            return self._stop and bool(present) and all(one.heard and one.latched for one in present)

    def _add(self, namespace: str) -> None:
        self._targets[namespace] = StopTarget(self, namespace, self._lock, self._lines.tell, self._why)

    def _why(self, namespace: str) -> str:
        return reach.reasons(namespace, self._seen)

    def _look(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._see_s > SEE_PERIOD_S:
                self._see_s = now
                self._see()
            for one in self._targets.values():
                one.look(self._stop)
            if any(one.cleared for one in self._targets.values()):
                self._pop_out()
            self._tell_silence(now)

    def _see(self) -> None:
        """Finds robots that came, and forgets to press at those that went."""
        self._seen = reach.robots(self)
        for name, supervised in self._seen.items():
            if reach.below(name, self._namespace):
                if name not in self._targets:
                    self._add(name)
                self._targets[name].see(supervised)
        for name, one in self._targets.items():
            if one.wanted and not one.heard and name not in self._seen and name != self._namespace:
                one.wanted = False
                self._lines.tell(f"GONE: no {one.name} is seen any more", loud=True)

    def _pop_out(self) -> None:
        """Somebody else cleared the stop: the key does not stay in for robots that come later."""
        for one in self._targets.values():
            one.cleared = False
        if self._stop and not any(one.latched or one.wanted for one in self._targets.values()):
            self._stop = False

    def _tell_silence(self, now: float) -> None:
        """Tells who is seen but not heard, and that nobody listens: once, and every second while a stop is pressed."""
        for name, one in self._targets.items():
            if one.heard or name not in self._seen:
                self._silent.discard(name)
            elif name not in self._silent and now - one.since_s > FIND_S:
                self._silent.add(name)
                self._lines.tell(f"SILENT: {one.name}: {self._why(name)}", loud=True)
        if any(one.heard for one in self._targets.values()):
            self._heard_s, self._told_s = now, -math.inf
        pressing = self._stop and now - self._pressed_s > PATIENCE_S and not self._present()
        again_s = AGAIN_S if pressing else HOUR_S
        if (pressing or now - self._heard_s > FIND_S) and not self._silent and now - self._told_s > again_s:
            self._told_s = now
            self._lines.tell(("NOT heard: " if pressing else "") + self._why(self._namespace), loud=True)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `estop_key`."""
    context.avoid_shared_memory()
    run(EstopKey, args, aside=False)  # nobody may rely on a stop that cannot say whether it was heard


if __name__ == "__main__":
    main()
