"""Requests to the executor, its results, and its status."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.command import Command
from robots.robot import Sent


@dataclass(frozen=True)
class CommandRequest:
    """Command to execute, with the observation that it was decided from.

    Attributes:
        stamp_ns: stamp of that observation, on the robot's clock.
        command: the motion, or a Stop.
        valid_for_s: maximum age of that observation at which the motion may start.
        lease: the right to move the robot, from `Executor.begin`; a Stop needs none.
    """

    stamp_ns: int
    command: Command
    valid_for_s: float
    lease: str = ""


@dataclass(frozen=True)
class CommandResult:
    """Outcome of a request.

    Attributes:
        stamp_ns: the request's.
        sent: the command as it was sent, clipped, refused or blocked.
        stopped: why the executor stopped the motion before its end, or forbids motion; empty otherwise. After a stop
            the caller must not continue by itself.
        after_ns: stamp of the newest observation taken before the motion ended; later ones show its effect.
        age_s: age of the observation when the request was checked; None when its stamp is unknown.
        began_ns: start of the motion on the executor's monotonic clock; -1 when there was none.
        duration_s: duration of the motion.
        lease: the request's.
    """

    stamp_ns: int
    sent: Sent
    stopped: str = ""
    after_ns: int = -1
    age_s: float | None = None
    began_ns: int = -1
    duration_s: float = 0.0
    lease: str = ""


@dataclass(frozen=True)
class Status:
    """State of the executor.

    Attributes:
        state: "idle", "moving", "runstop", "held" (it must not move) or "closed".
        reason: why it is not ready to move; empty when it is.
        last_stop: reason of the last stop; empty when there was none.
        counts: number of requests by outcome: started, executed, blocked, refused.
        observation_age_s: time since the last observation that advanced; None before the first.
    """

    state: str
    reason: str = ""
    last_stop: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    observation_age_s: float | None = None
