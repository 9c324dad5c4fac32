"""What the loop asks of a policy, and what it tells those who follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from policy_server.decision import Decision
from robots.observation import Observation
from robots.robot import Sent

Reason = Literal["done", "max_steps", "policy_failed", "robot_failed", "late", "interrupted"]


class Session(Protocol):
    """One episode of a policy: a `PolicySession`, an `OnnxEpisode`, the expert."""

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """Called once per step; `executed` names the action done since the last call, None when none was."""

    def close(self) -> None:
        """Called once by whoever opened it."""


@dataclass(frozen=True)
class Step:
    """One turn of the loop.

    Attributes:
        observation: what the decision was made from.
        decision: what the policy answered.
        sent: what became of it; `sent.refused` says so when it came late and was never given to the body.
        stamp_ns: when the observation was there, on the runner's monotonic clock.
        late: whether the decision came after its deadline.
        timing_s: how long "observe", "decide" and "execute" took.
    """

    observation: Observation
    decision: Decision
    sent: Sent
    stamp_ns: int
    late: bool = False
    timing_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEnd:
    """Why a run ended, after how many decisions, and how many of them came late."""

    reason: Reason
    message: str
    steps: int
    late: int = 0


class Subscriber(Protocol):
    """Hears of one run: a recorder, a progress line. What it raises ends the run; the body is stopped all the same."""

    def on_start(self) -> None:
        """Called once, before the first observation."""

    def on_step(self, step: Step) -> None:
        """Called after every step."""

    def on_end(self, end: RunEnd) -> None:
        """Called once, after the body was stopped."""
