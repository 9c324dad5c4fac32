"""Latency of a plan: what is charged between an observation and the action decided from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STREAM = 0x1A7E
"""Keeps the draws apart from others of the same seed."""


@dataclass(frozen=True)
class LatencySettings:
    """Latency of a plan.

    Attributes:
        delay_s: mean time from an observation to the answer of the policy [s].
        jitter_s: standard deviation of it; no draw is below 0 [s].
        deadline_s: age of the observation up to which an answer is used, in place of the policy's own; 0: the policy's.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    deadline_s: float = 0.0

    def draws(self, seed: int) -> Callable[[], float]:
        """Returns a function that draws one delay after the other, the same for the same seed."""
        random = np.random.default_rng([STREAM, seed])
        return lambda: max(0.0, float(random.normal(self.delay_s, self.jitter_s)))

    def __str__(self) -> str:
        """For example "130 ms +- 20 ms, deadline 500 ms"."""
        jitter = f" +- {1000 * self.jitter_s:g} ms" if self.jitter_s else ""
        deadline = f", deadline {1000 * self.deadline_s:g} ms" if self.deadline_s else ""
        return f"{1000 * self.delay_s:g} ms{jitter} of latency{deadline}"
