"""Latch of the emergency stop: any thread presses it, one at a time clears it, and a press during a clear wins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class EstopLatch:
    """Thread-safe latch with a reason."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason, self._presses, self._clearing = "", 0, False

    @property
    def reason(self) -> str:
        """Reason why nothing may move; empty while it is not pressed."""
        return self._reason

    @property
    def forwarded(self) -> str:
        """Reason that the robot node is to latch as well; empty while the latch is being cleared."""
        with self._lock:
            return "" if self._clearing else self._reason

    def press(self, reason: str) -> None:
        """Latches for `reason`, or keeps the one it has; aborts a clear in progress."""
        with self._lock:
            self._reason, self._presses, self._clearing = self._reason or reason, self._presses + 1, False

    @contextmanager
    def clearing(self) -> Iterator[int]:
        """Withholds the reason from the robot node; yields the number of presses that may be cleared."""
        with self._lock:
            self._clearing, presses = True, self._presses
        try:
            yield presses
        finally:
            with self._lock:
                self._clearing = False

    def pressed_since(self, presses: int) -> bool:
        """True when it has been pressed since the count `presses`."""
        with self._lock:
            return self._presses != presses

    def clear(self, presses: int) -> bool:
        """Clears it unless it has been pressed since the count `presses`; returns whether it did."""
        with self._lock:
            if self._presses == presses:
                self._reason = ""
            return self._presses == presses
