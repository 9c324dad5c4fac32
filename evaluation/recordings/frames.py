"""Frames of a recorded trial for imitation: what was seen, and what was executed from there.

A discrete policy gives one frame for each decision; its action is the executed one, one-hot over the policy's names, or
all zero where nothing was executed. A chunk policy gives one frame for each row that was played, with the newest
observation of that moment.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.errors import RecordError
from evaluation.recordings.recording import Recording
from evaluation.step import Step
from robots.command import Chunk
from robots.observation import Observation
from robots.spec import DiscreteActions, F32Vector


@dataclass(frozen=True)
class Frame:
    """One frame: the observation and the action (n,) float32 that was executed from it."""

    observation: Observation
    action: F32Vector


def action_names(recording: Recording) -> tuple[str, ...]:
    """Names of the entries of a frame's action: those of the policy's actions, or of a chunk's row."""
    actions = recording.manifest.spec.actions
    return tuple(actions.names if isinstance(actions, DiscreteActions) else actions.vector.names)


def period_s(recording: Recording) -> float:
    """Nominal time between two frames [s]: the control period, or that of a chunk's rows."""
    spec = recording.manifest.spec
    return spec.control_period_s if isinstance(spec.actions, DiscreteActions) else spec.actions.period_s


def frames(recording: Recording) -> Iterator[Frame]:
    """The frames of a trial in order; RecordError where an observation is missing."""
    if not isinstance(recording.manifest.spec.actions, DiscreteActions):
        yield from _rows(recording)
        return
    for step in recording.decided():
        action = np.zeros(len(action_names(recording)), np.float32)
        if step.sent.executed and step.decision.action is not None:
            action[step.decision.action] = 1.0
        yield Frame(step.observation, action)


def _rows(recording: Recording) -> Iterator[Frame]:
    due = sorted(_due(recording), key=_first)
    observations = recording.observations()
    newest, following = next(observations, None), next(observations, None)
    for at_ns, row in due:
        while following is not None and following.stamp_ns <= at_ns:
            newest, following = following, next(observations, None)
        if newest is None or newest.stamp_ns > at_ns:
            raise RecordError(str(recording.path), "no observation before a row that was played", "one")
        yield Frame(newest, np.array(row, np.float32))


def _first(due: tuple[int, tuple[float, ...]]) -> int:
    return due[0]


def _due(recording: Recording) -> Iterator[tuple[int, tuple[float, ...]]]:
    """(ROS time [ns], row) of every row that was played; of a chunk that others join, until the next one joins it."""
    played = [one for step in recording.steps if (one := _played(recording, step)) is not None]
    ends_ns = [one.begins_ns if played[number].chunk.joins else sys.maxsize for number, one in enumerate(played[1:])]
    over_ns = 0
    for one, end_ns in zip(played, [*ends_ns, sys.maxsize]):
        chunk, period_ns = one.chunk, 1e9 * one.period_s
        joined = chunk.joins and one.begins_ns < over_ns  # its rows count from the observation, else from the beginning
        first_ns = one.sensed_ns if joined else one.begins_ns
        over_ns = first_ns + round(len(chunk.rows) * period_ns)
        for number, row in enumerate(chunk.rows):
            at_ns = first_ns + round(number * period_ns)
            if number < one.rows and one.begins_ns <= at_ns < end_ns:
                yield at_ns, row


@dataclass(frozen=True)
class _Played:
    """A chunk that moved the robot.

    Attributes:
        sensed_ns, begins_ns: ROS times of its observation and of its beginning.
        period_s: of its rows: shorter than the chunk's on a twin that runs faster than the clock.
        rows: how many of its rows were played, where no other chunk joined it.
    """

    chunk: Chunk
    sensed_ns: int
    begins_ns: int
    period_s: float
    rows: int


def _played(recording: Recording, step: Step) -> _Played | None:
    chunk, result = step.sent.command, recording.results.get(step.decision.stamp_ns)
    if not isinstance(chunk, Chunk) or result is None or step.sent.refused:
        return None
    age_s, lasted_s = json.loads(result["age_s"]) or 0.0, json.loads(result["duration_s"])
    begins_ns, count = step.decision.stamp_ns + round(age_s * 1e9), len(chunk.rows)
    if chunk.joins:
        return _Played(chunk, step.decision.stamp_ns, begins_ns, chunk.period_s, count)
    if step.sent.executed:
        period_s = min(chunk.period_s, lasted_s / count)
        return _Played(chunk, step.decision.stamp_ns, begins_ns, period_s, count)
    rows = min(count, math.ceil(lasted_s / chunk.period_s))
    return _Played(chunk, step.decision.stamp_ns, begins_ns, chunk.period_s, rows)
