"""The nodes of a graph under `ferry run`, and whoever reads what it prints: a pipe's reader or a terminal."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from benchmarks.faults.process import children, end, lives, spawn

PIPE, TERMINAL = "pipe", "terminal"

LEADER = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""The leader of a terminal's session: what a shell in it would be."""

GONE_S = 20.0
"""`ferry run` gives its processes 5 s after SIGINT and 5 s after SIGTERM."""


class Launch:
    """One `ferry run`; what it prints goes into `launch.log` for as long as somebody reads it.

    Args:
        commands: name -> command of each process.
        folder: of the launch file and the log.
        output: what its standard output is, PIPE or TERMINAL.
        logs: folder of the nodes' log files, also those of rclpy; none: none are asked for.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], folder: Path, output: str, logs: Path | None) -> None:
        file = folder / "graph.launch.xml"
        file.write_text(_launch_file(commands))
        self._end, write = os.openpty() if output == TERMINAL else os.pipe()
        words = ["--log-dir", str(logs)] if logs else []
        self.process = spawn(
            [*_session(output), sys.executable, "-m", "ferry", "run", str(file), *words],
            stdin=write if output == TERMINAL else subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            env={**os.environ, **({"ROS_LOG_DIR": str(logs)} if logs else {})},
        )
        os.close(write)
        self._pids = set[int]()
        self._held, self._closed = threading.Event(), threading.Event()
        log = folder / "launch.log"
        log.touch()
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    def hold(self, on: bool) -> None:
        """Nobody reads what it prints for a while: Ctrl-S in its terminal, or ssh from a laptop that sleeps."""
        self._held.set() if on else self._held.clear()

    def close_output(self) -> None:
        """Whoever read what it prints is gone; a terminal hangs up."""
        if not self._closed.is_set():
            self.alive()  # its children are known from now on
            self._closed.set()
            self._reader.join(2.0)
            os.close(self._end)

    def alive(self) -> list[int]:
        """Process ids of it and its children that still run."""
        self._pids.update([self.process.pid, *children(self.process.pid)])
        self.process.poll()
        return [pid for pid in self._pids if lives(pid)]

    def gone(self) -> bool:
        """Whether it and its children end within `GONE_S`."""
        deadline = time.monotonic() + GONE_S
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Ends it and its children, whatever state they are in."""
        left = [pid for pid in self.alive() if pid != self.process.pid]
        end(self.process)
        for pid in left:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        self.close_output()

    def _read(self, path: Path) -> None:
        with path.open("ab") as log:
            while not self._closed.is_set():
                if self._held.is_set() or not select.select([self._end], [], [], 0.05)[0]:
                    self._closed.wait(0.02)
                    continue
                try:
                    data = os.read(self._end, 65536)
                except OSError:  # a terminal that nobody writes to any more
                    data = b""
                if not data:
                    return
                log.write(data)
                log.flush()


def _session(output: str) -> list[str]:
    """First words of a command that leads a session on the terminal that is its standard input."""
    return [sys.executable, "-c", LEADER] if output == TERMINAL else []


def _launch_file(commands: Mapping[str, Sequence[str]]) -> str:
    lines = [
        f"  <executable name={quoteattr(name)} output='screen' cmd={quoteattr(shlex.join(command))}/>"
        for name, command in commands.items()
    ]
    return "\n".join(["<launch>", *lines, "</launch>", ""])
