"""When the next chunk is asked for while the present one runs: early enough for its measured delay."""

from __future__ import annotations

import math
from collections import deque

from robots.command import Chunk
from robots.spec import ContinuousActions

REMEMBERED = 8
"""The longest of so many delays is allowed for: inference is uneven, and its first call the slowest."""

SPARE_ROWS = 1
"""Rows beyond that: the join itself takes the time of about one."""


class Pace:
    """Delays as measured from observations to the joins of their chunks."""

    def __init__(self) -> None:
        self._delays_s: deque[float] = deque(maxlen=REMEMBERED)

    def measured(self, delay_s: float) -> None:
        """Records the time from an observation to when its chunk was joined on, or refused as late."""
        self._delays_s.append(delay_s)

    def ask_after_s(self, chunk: Chunk, actions: ContinuousActions) -> float:
        """Time from the observation of `chunk` to the next one [s]: `execute_rows` of it, fewer where it would end."""
        delay_s = max(self._delays_s, default=0.0)
        left = len(chunk.rows) - math.ceil(delay_s / chunk.period_s) - SPARE_ROWS
        return max(1, min(actions.execute_rows or actions.horizon, left)) * chunk.period_s
