"""The right to move a robot: handed out when a trial begins, carried by every order, ended by every stop.

Freshness alone does not tell a driver that was frozen and came back from one that never stopped: it sees new
observations and decides from them. Its lease has ended meanwhile, so nothing that it asks for moves the robot until
somebody begins a new trial.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

FIRST_BEAT_S = 1.0
"""The first heartbeat may take longer by so much: the answer that hands the lease out is still on its way [s]."""

REMEMBERED = 16
"""So many ended leases are refused with the reason of their end; older ones as unknown."""


class Lease:
    """At most one is held at a time. Not thread-safe: its executor holds a lock.

    Args:
        timeout_s: how long its holder may be silent; None where that is this process, which needs no heartbeat.

    Attributes:
        held: the one that may move the robot now; empty when nobody may.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self.held = ""
        self._timeout_s, self._heard_s = timeout_s, 0.0
        self._ended: OrderedDict[str, str] = OrderedDict()

    def grant(self, now_s: float) -> str:
        """A new lease, which nobody can guess and no other process ever handed out."""
        self.held, self._heard_s = secrets.token_hex(8), now_s + FIRST_BEAT_S
        return self.held

    def renew(self, lease: str, now_s: float) -> None:
        """A heartbeat of whoever holds `lease`; one that has ended stays so."""
        if lease and lease == self.held:
            self._heard_s = now_s

    def end(self, reason: str) -> str:
        """Ends the lease that is held, if one is, and returns it."""
        ended, self.held = self.held, ""
        if ended:
            self._ended[ended] = reason
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        return ended

    def silence(self, now_s: float) -> str:
        """Why its holder counts as lost; empty while it does not."""
        silent = now_s - self._heard_s
        lost = self.held and self._timeout_s is not None and silent > self._timeout_s
        return f"policy heartbeat lost: not heard for {silent:.2f} s" if lost else ""

    def refusal(self, lease: str) -> str:
        """Why an order that carries `lease` must not be executed; empty when it may."""
        if lease and lease == self.held:
            return ""
        if lease in self._ended:
            return f"lease ended: {self._ended[lease]}; begin a new trial"
        return f"no lease: got {lease!r}, which this robot did not hand out lately; begin a trial first"
