"""Latency charged in simulated time between an observation and the action decided from it.

Nothing waits, and the machine's own speed does not count: the drawn delay passes on a clock of the trial's, by which
the runner holds each decision to its deadline, and in the world of a robot that can let time pass (`let_pass`). With
chunks that join, the robot plays the rest of the chunk before for as long; what it lacks of that is a pause.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from evaluation.plans.latency import LatencySettings
from evaluation.policies import Policy
from evaluation.step import Session
from policy_server.decision import Decision
from robots.binding import Binding, ChunkSettings
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.robot import Robot
from robots.spec import ContinuousActions

Rows = npt.NDArray[np.float32]


@runtime_checkable
class Patient(Protocol):
    """A simulated robot that can hold its pose for a time."""

    def let_pass(self, duration_s: float) -> None:
        """Lets simulated time pass while the robot holds its pose."""


class LatePolicy:
    """A policy whose answers take the time of `settings`.

    Args:
        policy: the policy itself.
        robot: of the trials.
        settings: the plan's.
        chunks: likewise.
    """

    def __init__(self, policy: Policy, robot: Robot, settings: LatencySettings, chunks: ChunkSettings) -> None:
        self._policy, self._robot, self._settings, self._chunks = policy, robot, settings, chunks
        self.identity, self.spec = policy.identity, policy.spec

    def open(self, body: Embodiment, instruction: str, seed: int) -> tuple[Session, Binding]:
        """Starts an episode; the delays depend on the seed."""
        session, binding = self._policy.open(body, instruction, seed)
        binding = binding.with_chunks(self._chunks)
        if self._settings == LatencySettings():
            return session, binding
        late = LateSession(session, binding, self._robot, self._settings, seed)
        return late, binding.with_chunks(ChunkSettings(joins=False))  # it joins the rows itself

    def close(self) -> None:
        """Nothing: the policy is closed by whoever opened it."""


class LateSession:
    """One episode whose answers take time.

    Attributes:
        clock: the trial's monotonic time [ns]: nothing but the delays passes on it.
    """

    def __init__(self, session: Session, binding: Binding, robot: Robot, settings: LatencySettings, seed: int) -> None:
        self._session, self._robot, self._settings = session, robot, settings
        self._actions, self._draw = binding.policy.actions, settings.draws(seed)
        self._passed_ns = 0
        self._left = np.empty((0, 0), np.float32)

    def clock(self) -> int:
        """Time of the trial [ns]."""
        return self._passed_ns

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """Returns the decision of the policy, after its delay."""
        decision, delay_s = self._session.act(observation, executed), self._draw()
        self._passed_ns += round(delay_s * 1e9)
        deadline_s = self._settings.deadline_s or decision.valid_for_s
        timing = {**decision.timing_s, "charged": delay_s}
        decision = replace(decision, valid_for_s=deadline_s, timing_s=timing)
        if decision.chunk is None or not isinstance(self._actions, ContinuousActions):
            self._pause(delay_s)
            return decision
        return replace(decision, chunk=self._joined(decision.chunk, delay_s, self._actions))

    def close(self) -> None:
        """Closes the session."""
        self._session.close()

    def _joined(
        self, chunk: npt.NDArray[np.float32], delay_s: float, actions: ContinuousActions
    ) -> npt.NDArray[np.float32]:
        """The rows that run meanwhile, then those of `chunk` that are not over by then."""
        late = math.ceil(delay_s / actions.period_s - 1e-9)
        played = min(late, len(self._left)) if actions.joins else 0
        self._pause(delay_s if not played else (late - played) * actions.period_s)
        rows = np.concatenate([self._left[:played].reshape(played, chunk.shape[1]), chunk[played:]])
        self._left = rows[actions.execute_rows or actions.horizon :]
        return rows

    def _pause(self, duration_s: float) -> None:
        if duration_s > 0.0 and isinstance(self._robot, Patient):
            self._robot.let_pass(duration_s)


def clock_of(session: Session) -> Callable[[], int]:
    """Clock of a runner for `session` [ns]: the trial's own where latency is charged, else this machine's."""
    return session.clock if isinstance(session, LateSession) else time.monotonic_ns
