"""Periodic check in a thread of its own, which survives exceptions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MIN_PERIOD_S = 0.005
"""Shortest pause between two checks [s]."""


class Watch:
    """Calls `check` every `period_s` until it is ended.

    Args:
        check: must not block for long; in the meantime nothing is checked.
        failed: called with the text of an exception of `check`; the thread goes on.
    """

    def __init__(self, check: Callable[[], None], period_s: float, failed: Callable[[str], None]) -> None:
        self._check, self._period_s, self._failed = check, max(period_s, MIN_PERIOD_S), failed
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def end(self) -> None:
        """Ends it after the check in progress; does not block."""
        self._ended = True

    @property
    def is_here(self) -> bool:
        """True when called from this thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while not self._ended:
            time.sleep(self._period_s)
            try:
                self._check()
            except Exception as error:  # of any kind: a robot that is not watched must not move
                self._failed(f"watch failed: {type(error).__name__}: {error}")
