"""Robots as processes: each asks for decisions at a fixed rate, whether or not the ones before came in time.

A decision is due at its tick, and late after one period. Latency counts from the tick, so a robot that waits for one
answer while the next is due does not hide the wait of the next; ticks that pass meanwhile are missed.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.server.bodies import body_for, observation_for
from policy_server.client import PolicyClient
from policy_server.errors import PolicyError
from robots.spec import DiscreteActions

OPENING_S = 120.0
"""Time for all processes to start and open their sessions; the first tick comes when the last one has."""


@dataclass
class Seen:
    """What robots saw.

    Attributes:
        latency_s: from the tick to the answer.
        due: ticks.
        late: answers later than one period, errors, and ticks that passed unasked.
        errors: codes of refusals and failures.
    """

    latency_s: list[float] = field(default_factory=list)
    due: int = 0
    late: int = 0
    errors: list[str] = field(default_factory=list)

    def add(self, other: Seen) -> None:
        """Adds what another robot saw."""
        self.latency_s += other.latency_s
        self.errors += other.errors
        self.due, self.late = self.due + other.due, self.late + other.late


@dataclass(frozen=True)
class Drive:
    """What one robot does."""

    url: str
    hz: float
    seconds: float
    number: int
    episode: int = 0
    """Decisions of an episode; 0 for as many as the policy has."""
    timeout_s: float = 10.0


def drive_together(url: str, robots: int, hz: float, seconds: float, episode: int = 0) -> Seen:
    """Runs `robots` robots, each in a process of its own, for `seconds`; returns what they saw together."""
    context = multiprocessing.get_context("spawn")
    answers: Queue[Seen] = context.Queue()
    opened = context.Barrier(robots)
    drives = [Drive(url, hz, seconds, number, episode) for number in range(robots)]
    processes = [context.Process(target=_run, args=(one, opened, answers), daemon=True) for one in drives]
    for process in processes:
        process.start()
    total = Seen()
    for _ in processes:
        total.add(answers.get(timeout=seconds + 2 * OPENING_S))
    for process in processes:
        process.join(20)
    return total


def _run(drive: Drive, opened: Barrier, answers: Queue[Seen]) -> None:
    answers.put(run(drive, opened))


def run(drive: Drive, opened: Barrier) -> Seen:
    """Runs one robot; it begins when all have opened their sessions."""
    seen, period_s = Seen(), 1.0 / drive.hz
    with PolicyClient(drive.url, timeout_s=drive.timeout_s) as client:
        episode = _Episode(client, drive)
        episode.begin()
        opened.wait(OPENING_S)
        begins = time.monotonic()
        due = begins + period_s * random.Random(drive.number).random()  # robots are not in step
        end = begins + drive.seconds
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            seen.due += 1
            try:
                episode.ask()
                took_s = time.monotonic() - due
                seen.latency_s.append(took_s)
                seen.late += took_s > period_s
            except PolicyError as error:
                seen.late += 1
                seen.errors.append(error.code)
                episode.begin()
            due += period_s
            while due + period_s < min(end, time.monotonic()):
                seen.due, seen.late, due = seen.due + 1, seen.late + 1, due + period_s
    return seen


class _Episode:
    """Episode after episode of one robot."""

    def __init__(self, client: PolicyClient, drive: Drive) -> None:
        self._client, self._manifest = client, client.manifest()
        self._body, self._decisions = body_for(self._manifest), drive.episode or self._manifest.spec.horizon
        self._observation = observation_for(self._body, drive.number)
        actions = self._manifest.spec.actions
        self._executed = actions.names[0] if isinstance(actions, DiscreteActions) else None

    def begin(self) -> None:
        """Opens a session."""
        task = (self._manifest.tasks or ("go",))[0]
        self._session = self._client.open(self._body, "find a mug" if "_" in task else task)

    def ask(self) -> None:
        """Asks for one decision; opens the next session after the last one of an episode."""
        if self._session.step >= min(self._decisions, self._session.spec.horizon):
            self._session.close()
            self.begin()
        self._session.act(self._observation, self._executed if self._session.step else None)


def bundle_paths(bundles: Sequence[Path], folder: Path) -> list[Path]:
    """Returns the bundles, or without any one with a dynamic batch, written into `folder`."""
    from benchmarks.server.batch_graph import write_bundle_with_batch

    return list(bundles) or [write_bundle_with_batch(folder / "dynamic_batch")]
