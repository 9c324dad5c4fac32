"""Lease: the right to move a robot, granted when a trial begins, carried by every request, ended by every stop.

Freshness alone cannot distinguish a client that was frozen and came back from one that never stopped: it receives new
observations and decides from them. Its lease has ended in the meantime, so no request of its moves the robot until a
new trial begins.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

FIRST_BEAT_S = 1.0
"""Additional time for the first heartbeat: the reply that grants the lease is still in transit [s]."""

REMEMBERED = 16
"""Number of ended leases that are refused with the reason of their end; older ones are refused as unknown."""


class Lease:
    """At most one is held at a time. Not thread-safe: its executor holds a lock.

    Args:
        timeout_s: longest silence of its holder; None when that is this process, which needs no heartbeat.

    Attributes:
        held: the lease that may move the robot now; empty when there is none.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self.held = ""
        self._timeout_s, self._heard_s = timeout_s, 0.0
        self._ended: OrderedDict[str, str] = OrderedDict()

    def grant(self, now_s: float) -> str:
        """Grants a new lease, which is random: neither guessable nor granted by another process."""
        self.held, self._heard_s = secrets.token_hex(8), now_s + FIRST_BEAT_S
        return self.held

    def renew(self, lease: str, now_s: float) -> None:
        """Records a heartbeat of the holder of `lease`; an ended lease stays ended."""
        if lease and lease == self.held:
            self._heard_s = now_s

    def end(self, reason: str) -> str:
        """Ends the lease that is held, if any, and returns it."""
        ended, self.held = self.held, ""
        if ended:
            self._ended[ended] = reason
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        return ended

    def silence(self, now_s: float) -> str:
        """Reason why its holder counts as lost; empty while it does not."""
        silent = now_s - self._heard_s
        lost = self.held and self._timeout_s is not None and silent > self._timeout_s
        return f"policy heartbeat lost: not heard for {silent:.2f} s" if lost else ""

    def refusal(self, lease: str) -> str:
        """Reason to refuse a request that carries `lease`; empty when it is the one that is held."""
        if lease and lease == self.held:
            return ""
        if lease in self._ended:
            return f"lease ended: {self._ended[lease]}; begin a new trial"
        return f"no lease: got {lease!r}, which this robot did not hand out lately; begin a trial first"
