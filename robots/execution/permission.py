"""Permission to move: no hold, the lease of the current trial, and a decision from a fresh observation."""

from __future__ import annotations

from collections.abc import Callable

from robots.execution.command_request import CommandRequest
from robots.execution.freshness import Freshness
from robots.execution.interlocks import Interlocks
from robots.execution.lease import Lease
from robots.execution.options import ExecutorOptions
from robots.robot import Health


class Permission:
    """Decides whether the robot may move. Not thread-safe: its executor holds a lock.

    Attributes:
        interlocks: named holds; while there is one nothing moves.
        lease: the right of one client to move the robot, ended by every stop.
        fresh: published observations; a decision must come from a recent one, once, and after the last stop.
        closed: nothing moves any more.
    """

    def __init__(self, options: ExecutorOptions, stamp: Callable[[int], int]) -> None:
        self.interlocks = Interlocks(options.interlocks)
        self.lease = Lease(options.heartbeat_timeout_s)
        self.fresh = Freshness(options.max_age_periods * options.control_period_s, stamp=stamp)
        self.closed = False

    def unfit(self) -> str:
        """Reason why nothing may move now, whatever the request; empty when motion is allowed."""
        return "closed: the executor is closed" if self.closed else self.interlocks.reason

    def refusal(self, request: CommandRequest, now_s: float) -> str:
        """Reason to refuse a request now; empty when it may move the robot."""
        fresh = self.fresh.refusal(request.stamp_ns, request.valid_for_s, now_s)
        return self.unfit() or self.lease.refusal(request.lease) or fresh

    def ended(self, request: CommandRequest) -> str:
        """Reason why the client of a refused request must not continue by itself; empty when it may ask again."""
        return self.unfit() or self.lease.refusal(request.lease) or self.fresh.voided(request.stamp_ns)

    def stop(self, reason: str, keeps_lease: bool) -> str:
        """Voids every decision made so far and ends the lease; returns the lease that it ended, if any."""
        self.fresh.void(reason)
        return "" if keeps_lease else self.lease.end(reason)

    def release(self, name: str) -> None:
        """Ends a hold; decisions made in the meantime are void."""
        if self.interlocks.release(name):
            self.fresh.void(name)

    def update(self, now_s: float, wall_s: float, health: Health) -> list[str]:
        """Checks heartbeats, clocks, the robot's health and the lease's holder; returns the reasons to stop now."""
        stops, released = self.interlocks.update(now_s, wall_s, health)
        silence = self.lease.silence(now_s)
        for name in released:
            self.fresh.void(name)
        return [*stops, silence] if silence else stops
