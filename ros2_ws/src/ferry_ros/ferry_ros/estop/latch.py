"""The latch of the emergency stop: anybody presses it, one at a time clears it, and a press meanwhile wins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Latch:
    """Is asked and pressed from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason, self._presses, self._clearing = "", 0, False

    @property
    def reason(self) -> str:
        """Why nothing may move; empty where it is not pressed."""
        return self._reason

    @property
    def told(self) -> str:
        """What the robot node is told to latch as well: the reason, but nothing while that is being cleared."""
        with self._lock:
            return "" if self._clearing else self._reason

    def press(self, reason: str) -> None:
        """Latches for `reason`, or goes on with the one it has; ends a clearing that has begun."""
        with self._lock:
            self._reason, self._presses, self._clearing = self._reason or reason, self._presses + 1, False

    @contextmanager
    def clearing(self) -> Iterator[int]:
        """While this lasts, the robot node is not told of it; yields the number of presses that may be cleared."""
        with self._lock:
            self._clearing, presses = True, self._presses
        try:
            yield presses
        finally:
            with self._lock:
                self._clearing = False

    def pressed_since(self, presses: int) -> bool:
        """Whether it was pressed again since it had been so often."""
        with self._lock:
            return self._presses != presses

    def clear(self, presses: int) -> bool:
        """Clears it, unless it was pressed again since it had been so often; returns whether it did."""
        with self._lock:
            if self._presses == presses:
                self._reason = ""
            return self._presses == presses
