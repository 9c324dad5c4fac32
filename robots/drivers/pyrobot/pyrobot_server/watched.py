"""A value that PyRobot's callbacks replace."""

# ruff: noqa: UP035
import math
import time
from typing import Any, Callable


class Watched:
    """A value that PyRobot's callbacks replace: how often, and how long ago for the last time."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look, self._last, self._seen_s, self.number = look, None, -math.inf, 0

    def update(self) -> None:
        """Called all the time: notices a new object."""
        value = self._look()
        if value is not None and value is not self._last:
            self._last, self._seen_s, self.number = value, time.monotonic(), self.number + 1

    @property
    def age_s(self) -> float:
        """Since the value was replaced; 1e9 when it never was."""
        return min(1e9, time.monotonic() - self._seen_s)
