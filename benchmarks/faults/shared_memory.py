"""Shared memory taken away under a running graph, as logind does when a user's last session ends (RemoveIPC)."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

from benchmarks.faults.attempt import Fault, Seen, stood
from benchmarks.faults.bodies import module
from benchmarks.faults.line import Line, wait
from benchmarks.faults.process import end, remove_shared_memory, spawn

LATCHED_S = 8.0
"""A process that is started then must find the graph first."""


def removed(line: Line, fault: Fault) -> Seen:
    """Removes it, looks whether the robot stands, then presses a key of `ferry stop`, which is started only then.

    What `ferry stop` prints tells whether the stop is latched: this process may hear nothing of the graph any more.
    """
    fault_s = time.monotonic()
    remove_shared_memory()
    time.sleep(fault.hold_s)
    seen = stood(line, fault_s)
    printed, latched = _press(line)
    reason = f"{seen.reason or _logged(line)}; ferry stop printed: {printed}"
    troubles = [] if latched else [f"e-stop not latched within {LATCHED_S} s"]
    return replace(seen, reason=reason, trouble=", ".join(troubles))


def _logged(line: Line) -> str:
    """Why the robot node stopped last, from its log: it may speak to nobody any more."""
    lines = (line.here.folder / "robot_node.log").read_text(errors="replace").splitlines()
    return next((text.rpartition("]: ")[2] for text in reversed(lines) if "stopped: " in text), "no reason logged")


def _press(line: Line) -> tuple[str, bool]:
    """What `ferry stop` printed when a key was hit, and whether that was a confirmation."""
    log = line.here.folder / "stop.log"
    command = module("ferry", "stop", "--namespace", line.here.node.get_namespace())
    with log.open("wb") as file:
        process = spawn(command, stdin=subprocess.PIPE, stdout=file, stderr=file)
    assert process.stdin is not None
    try:
        process.stdin.write(b"x")
        process.stdin.flush()
        line.pressed = True
        latched = wait(lambda: "LATCHED in " in log.read_text(errors="replace"), LATCHED_S)
        time.sleep(1.0)
    finally:
        end(process)
    return " / ".join(log.read_text(errors="replace").splitlines()[1:6]), latched
