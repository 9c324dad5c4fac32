"""Non-blocking output: a process that moves a robot writes its log here, and a stalled reader costs only lines.

`python outlet.py LOG ERRORS` copies standard input to standard output, descriptor ERRORS to standard error, and both to
the file LOG unless that is empty. It is a process of its own because a logger in C may hold the interpreter while it
writes, and no thread beside it could read then. The output of a crash in C arrives as well.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

MOST_BYTES = 1 << 20
"""Size of the queue for the reader, some 10,000 lines; more is dropped."""

LAST_WORDS_S = 0.5
"""Time limit for the reader at the end of a process."""


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`, also to a descriptor that another process has made non-blocking."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [], 1.0)


class Outlet:
    """Writes from a thread of its own; lines that do not fit or cannot be written are dropped and counted."""

    def __init__(self, write: Callable[[bytes], object], most_bytes: int = MOST_BYTES) -> None:
        self._write, self._most = write, most_bytes
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._bytes = self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="outlet")
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Hands over output; returns at once."""
        with self._changed:
            lines = data.count(b"\n")
            if self._waiting and self._bytes + len(data) > self._most:
                self._lost += lines
                return
            if self._lost:
                data = b"[%d lines are missing here: nobody took them]\n%s" % (self._lost, data)
            self._waiting.append((data, lines + self._lost))
            self._bytes, self._lost = self._bytes + len(data), 0
            self._changed.notify_all()

    def close(self, wait_s: float = LAST_WORDS_S) -> None:
        """Waits at most `wait_s` for what is not written yet."""
        if self._lost:
            self.put(b"")
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                data, lines = self._waiting[0]
            try:
                self._write(data)
                lines = 0
            except (OSError, ValueError):  # a reader that is gone, a full disk, a closed file
                pass
            with self._changed:
                self._waiting.popleft()
                self._bytes, self._lost = self._bytes - len(data), self._lost + lines


def to_file(path: Path) -> Callable[[bytes], None]:
    """Writer to the end of a file, opened with the first output: its folder may be on a disk that hangs."""
    opened: list[int] = []

    def write(data: bytes) -> None:
        if not opened:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
        write_all(opened[0], data)

    return write


def main(log: str, errors: str) -> None:
    """Copies standard input and the descriptor `errors` until both end; then waits briefly for the reader."""
    ways = {0: Outlet(lambda data: write_all(1, data)), int(errors): Outlet(lambda data: write_all(2, data))}
    kept = [Outlet(to_file(Path(log)))] if log else []
    open_ends = set(ways)
    while open_ends:
        for source in select.select(open_ends, [], [])[0]:
            data = os.read(source, 65536)
            if not data:
                open_ends.remove(source)
            for outlet in [ways[source], *kept]:
                outlet.put(data)
    end = time.monotonic() + LAST_WORDS_S
    for outlet in [*ways.values(), *kept]:
        outlet.close(max(0.0, end - time.monotonic()))
    os._exit(0)  # a thread may be stuck in a write


if __name__ == "__main__":
    main(*sys.argv[1:])
