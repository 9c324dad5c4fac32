"""Freshness of decisions: each must come from a recent observation that this robot published, used only once."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

STALE = "stale: "
"""Prefix of the refusal of a decision that was valid but came too late."""

LATE = "late: "
"""Prefix of the refusal of a chunk that was to go on with one that has ended."""


class Freshness:
    """Remembers when observations were published, on this process's own monotonic clock.

    Clocks of different machines are never compared: a decision carries the stamp of its observation, and its age is the
    time since that observation was taken here.

    Args:
        stamp: gives an observation the stamp under which it is published, from the one on the robot's monotonic clock;
            strictly rising, as ROS time is not.

    Attributes:
        max_age_s: maximum age of a decision's observation, whatever validity the decision claims.
        settled_ns: stamp of the newest observation before the robot came to rest after chunks that could be joined.
    """

    def __init__(self, max_age_s: float, remembered: int = 64, stamp: Callable[[int], int] = int) -> None:
        self.max_age_s, self._remembered, self._stamp = max_age_s, remembered, stamp
        self._sensed_ns = -1
        self._seen: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self.settled_ns = -1
        self._settled_because = ""
        self._used_ns = -1
        self._void_ns = -1
        self._void_reason = ""

    @property
    def latest_ns(self) -> int:
        """Stamp of the newest published observation; -1 before the first."""
        return next(reversed(self._seen), -1)

    def hand_out(self, sensed_ns: int, taken_s: float) -> int | None:
        """Records that the observation sensed at `sensed_ns` was taken at `taken_s`.

        Returns the stamp under which it is published; None when it was sensed no later than the one before.
        """
        if sensed_ns <= self._sensed_ns:
            return None
        self._sensed_ns, stamp_ns = sensed_ns, self._stamp(sensed_ns)
        self._seen[stamp_ns] = taken_s, sensed_ns
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return stamp_ns

    def age_s(self, stamp_ns: int, now_s: float) -> float | None:
        """Age of the observation of `stamp_ns`; None when no such stamp is remembered."""
        seen = self._seen.get(stamp_ns)
        return None if seen is None else now_s - seen[0]

    def sensed_ns(self, stamp_ns: int) -> int:
        """When it was sensed, on the robot's monotonic clock; -1 when no such stamp is remembered."""
        return self._seen.get(stamp_ns, (0.0, -1))[1]

    def refusal(self, stamp_ns: int, valid_for_s: float, now_s: float) -> str:
        """Reason to refuse, at `now_s`, a decision made from the observation of `stamp_ns`; empty when it is fresh."""
        if not math.isfinite(valid_for_s):
            return f"validity: got {valid_for_s}, expected a finite number of seconds"
        age = self.age_s(stamp_ns, now_s)
        if age is None:
            return f"unknown: no observation with stamp {stamp_ns} was handed out lately"
        if stamp_ns <= self._used_ns:
            return f"replayed: a decision from stamp {self._used_ns} was executed already, got {stamp_ns}"
        if self.voided(stamp_ns):
            return f"void: decided before the robot stopped ({self._void_reason})"
        if stamp_ns <= self.settled_ns:
            return f"{LATE}decided while the robot moved, which has come to rest since{self._settled_because}"
        limit = min(valid_for_s, self.max_age_s)
        if age > limit:
            return f"{STALE}the observation is {age:.3f} s old, expected at most {limit:.3f} s"
        return ""

    def use(self, stamp_ns: int) -> None:
        """Marks decisions from this observation, or an older one, as replays from now on."""
        self._used_ns = max(self._used_ns, stamp_ns)

    def settle(self, because: str) -> None:
        """The robot came to rest after chunks that could be joined: what it saw on the way is of no use any more."""
        self.settled_ns, self._settled_because = self.latest_ns, f": {because}" if because else ""

    def void(self, reason: str) -> None:
        """Voids decisions made from every observation published so far."""
        self._void_ns, self._void_reason = self.latest_ns, reason

    def voided(self, stamp_ns: int) -> str:
        """Reason for which decisions from this observation were voided; empty when they were not."""
        return self._void_reason if stamp_ns <= self._void_ns else ""
