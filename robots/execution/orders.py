"""What is asked of the executor, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.command import Command
from robots.robot import Sent


@dataclass(frozen=True)
class Order:
    """A command with the observation it was decided from.

    Attributes:
        stamp_ns: stamp of that observation, on the body's clock.
        command: what to do.
        valid_for_s: how long after that observation was taken the motion may start.
        lease: the right to move the robot, from `Executor.begin`; a Stop needs none.
    """

    stamp_ns: int
    command: Command
    valid_for_s: float
    lease: str = ""


@dataclass(frozen=True)
class Result:
    """What became of an order.

    Attributes:
        stamp_ns: the order's.
        sent: what was sent, clipped, refused or blocked.
        stopped: why the executor stopped the motion before its end, or lets nothing move; empty otherwise. Whoever
            drives the robot must not go on by itself after that.
        after_ns: stamp of the newest observation that was taken before the motion ended; later ones show its effect.
        age_s: age of the observation when the order was judged; None when its stamp is unknown.
        began_ns: when the motion began, on the executor's monotonic clock; -1 when none did.
        duration_s: how long the motion took.
        lease: the order's.
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
    """How the executor stands.

    Attributes:
        state: "idle", "moving", "runstop", "held" (it must not move) or "closed".
        reason: why it is not ready to move; empty when it is.
        last_stop: reason of the last stop; empty when there was none.
        counts: number of orders by what became of them: started, executed, blocked, refused.
        observation_age_s: time since the last observation that advanced; None before the first.
    """

    state: str
    reason: str = ""
    last_stop: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    observation_age_s: float | None = None
