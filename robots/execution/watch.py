"""A thread that looks after time, again and again, whatever its looks raise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LEAST_S = 0.005
"""It waits at least this long between two looks [s]."""


class Watch:
    """Calls `look` every `period_s` until it is ended.

    Args:
        look: must not wait for long; while it does nobody looks.
        failed: called with what a look raised, in words; that ends nothing, it may come again.
    """

    def __init__(self, look: Callable[[], None], period_s: float, failed: Callable[[str], None]) -> None:
        self._look, self._period_s, self._failed = look, max(period_s, LEAST_S), failed
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def end(self) -> None:
        """Ends it after the look under way; waits for nothing."""
        self._ended = True

    @property
    def is_here(self) -> bool:
        """Whether the caller is this thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while not self._ended:
            time.sleep(self._period_s)
            try:
                self._look()
            except Exception as error:  # whatever it was: nothing may move that is not watched
                self._failed(f"watch failed: {type(error).__name__}: {error}")
