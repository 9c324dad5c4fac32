"""`estop_key`: emergency stop in a terminal: any key stops the robots, and their confirmation is printed.

estop_key                                every robot that is found
estop_key --ros-args -r __ns:=/stretch   the robot in that namespace, and those below it

A press is latched here: it is sent at 10 Hz until each supervisor's permit confirms that the stop is latched, and to
every robot that appears later. So a press without a listener is not lost, nor one whose clearing failed. The word
"clear" clears it. Uses UDP only: the shared memory of another user or of a container, or a removed one, would lose it.
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
"""Period of the discovery of robots in the ROS graph."""
FIND_S = 2.0
"""Time of DDS discovery: a robot that was not received by then is absent or silent."""
LAST_S = 3.0
"""Time limit for a stop pressed at the end of a terminal to be latched."""
HOUR_S = 3600.0
"""Period of the warning that no robot listens, while nothing is pressed; a robot that appears elsewhere repeats it."""
ASKED = ("SIGINT", "SIGTERM")
"""Requested ends. Every other end presses the stop."""


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
        self._heard_s, self._see_s, self._reported_s = time.monotonic(), 0.0, -math.inf
        self._reported_seen: set[str] = set()
        self._lines.write(HELP)
        if self._namespace != "/":
            self._add(self._namespace)
        steady_timer(self, LOOK_PERIOD_S, self._check)
        self._reader = threading.Thread(target=self._live, name="keys", daemon=True)
        self._reader.start()

    def close(self, reason: str) -> None:
        """Presses the stop unless the end was requested; reports what is latched; restores the terminal."""
        if reason not in ASKED and not self._latched():
            self._press()
            self._wait(LAST_S)
        with self._lock:
            still = [target.namespace for target in self._targets.values() if target.heard and target.latched]
            missed = self._stop and not self._latched()
        self.exit_code = self.exit_code or int(missed)
        note = f"; still latched in {', '.join(still)}" if still else ""
        note += "; the stop that was pressed is NOT latched everywhere" if missed else ""
        self._lines.write(f"ended ({reason}): no stop is at hand any more{note}", loud=True)
        self._lines.close()
        self._reader.join(1.0)

    def _fail(self, error: BaseException) -> None:
        """Ends the node: keys without output must not be relied on. A closed terminal is the cause of the end."""
        if not self.finished.is_set():
            fail(self, error)

    def _live(self) -> None:
        """Reads keys until the end of the input, which presses the stop; without a terminal waits for the latch."""
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

    def _wait(self, max_s: float) -> None:
        """Waits until every robot's stop is latched, but no longer than `max_s`."""
        until = time.monotonic() + max_s
        while not self._latched() and time.monotonic() < until:
            time.sleep(LOOK_PERIOD_S / 2)

    def _take(self, key: str, word: str) -> str:
        """Handles a key: every key stops, also the letters of the word; only Enter after the word clears."""
        enter = key in "\r\n"
        if enter and word.endswith(CLEAR):  # also after other keys
            self._clear()
            return ""
        if enter or not word:
            self._lines.write("pressed")
        self._press(report=enter or not word)
        return "" if enter else word + key

    def _press(self, report: bool = True) -> None:
        with self._lock:
            if not self._stop:
                self._stop, self._pressed_s = True, time.monotonic()
            for target in self._present():
                target.press(report)

    def _clear(self) -> None:
        """Clears what was pressed here; after a failure the press stays, so that no late success undoes it."""
        with self._lock:
            self._stop = False
            present = self._present()
            for target in present:
                target.wanted, target.clearing = False, target.mine or target.namespace == self._namespace
                if not target.clearing:
                    note = f"somebody else pressed it: ferry stop --namespace {target.namespace} clears it"
                    self._lines.write(f"NOT cleared in {target.namespace}: {note}", loud=True)
        if not present:
            self._lines.write("NOT cleared: no robot is found", loud=True)
            self._press()
        for target in present:
            if target.clearing:  # each in a thread of its own: neither the next key nor another robot waits for it
                threading.Thread(target=self._clear_one, args=(target,), name="clear", daemon=True).start()

    def _clear_one(self, target: StopTarget) -> None:
        time.sleep(SETTLE_S)  # the letters of the word pressed the stop as well, on a topic of their own
        if not target.clear():
            with self._lock:
                self._stop = True

    def _present(self) -> list[StopTarget]:
        """Robots to stop now; one that is gone is stopped when it comes back."""
        named = {*self._seen, self._namespace}
        return [
            target for target in self._targets.values() if target.heard or target.wanted or target.namespace in named
        ]

    def _latched(self) -> bool:
        """True when the stop is pressed, and latched in every robot present."""
        with self._lock:
            present = self._present()
            return self._stop and bool(present) and all(target.heard and target.latched for target in present)

    def _add(self, namespace: str) -> None:
        self._targets[namespace] = StopTarget(self, namespace, self._lock, self._lines.write, self._why)

    def _why(self, namespace: str) -> str:
        return reach.reasons(namespace, self._seen)

    def _check(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._see_s > SEE_PERIOD_S:
                self._see_s = now
                self._see()
            for target in self._targets.values():
                target.check(self._stop)
            if any(target.cleared for target in self._targets.values()):
                self._pop_out()
            self._report_silence(now)

    def _see(self) -> None:
        """Discovers new robots, and stops pressing at those that left."""
        self._seen = reach.robots(self)
        for name, supervised in self._seen.items():
            if reach.below(name, self._namespace):
                if name not in self._targets:
                    self._add(name)
                self._targets[name].see(supervised)
        for name, target in self._targets.items():
            if target.wanted and not target.heard and name not in self._seen and name != self._namespace:
                target.wanted = False
                self._lines.write(f"GONE: no {target.name} is seen any more", loud=True)

    def _pop_out(self) -> None:
        """Releases the key when another client cleared the stop: robots that come later are not stopped."""
        for target in self._targets.values():
            target.cleared = False
        if self._stop and not any(target.latched or target.wanted for target in self._targets.values()):
            self._stop = False

    def _report_silence(self, now: float) -> None:
        """Reports silent robots, and that no robot listens: once, and every second while a stop is pressed."""
        for name, target in self._targets.items():
            if target.heard or name not in self._seen:
                self._silent.discard(name)
            elif name not in self._silent and now - target.since_s > FIND_S:
                self._silent.add(name)
                self._lines.write(f"SILENT: {target.name}: {self._why(name)}", loud=True)
        if any(target.heard for target in self._targets.values()):
            self._heard_s, self._reported_s = now, -math.inf
        pressing = self._stop and now - self._pressed_s > PATIENCE_S and not self._present()
        again_s = AGAIN_S if pressing or set(self._seen) - self._reported_seen else HOUR_S
        if (pressing or now - self._heard_s > FIND_S) and not self._silent and now - self._reported_s > again_s:
            self._reported_s, self._reported_seen = now, set(self._seen)
            self._lines.write(("NOT heard: " if pressing else "") + self._why(self._namespace), loud=True)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `estop_key`."""
    context.avoid_shared_memory()
    run(EstopKey, args, aside=False)  # a stop without output must not be relied on


if __name__ == "__main__":
    main()
