"""Collects demonstrations of LIBERO's tasks by the scripted experts; a command.

    python -m simulation.libero.collect --suite libero_object --tasks 9 --demonstrations 10 --out runs/demonstrations

Begins where it was interrupted: a demonstration whose file is there is not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro

from simulation.libero import preparation
from simulation.libero.demonstration import Demonstration
from simulation.libero.expert.expert import LiberoExpert
from simulation.libero.observation import LiberoObservation
from simulation.libero.player import LiberoPlayer
from simulation.libero.states import draw, split
from simulation.libero.steps import WorldSteps
from simulation.libero.world import Floats
from simulation.worker_pool import Report, WorkerPool

ATTEMPTS = 10
"""Initial states tried for one demonstration before it is given up."""

TURN_NOISE = 0.3
"""Of the noise in the turns, for each unit of that in the moves."""


@dataclass(frozen=True)
class Collection:
    """Demonstrations of the tasks of a suite."""

    suite: str
    """E.g. libero_object."""
    out: Path
    """Folder; a demonstration is <suite>-<task>/<number>.npz in it."""
    tasks: tuple[int, ...] = tuple(range(10))
    """Indices in the suite."""
    demonstrations: int = 10
    """Of each task."""
    image_size: int = 128
    """Sides of the images, pixels."""
    spread_m: float = 0.03
    """Each object is moved by up to this from an official initial state of the training half; see `states.draw`."""
    fixtures_m: float = 0.0
    """So is each fixture."""
    noise: float = 0.15
    """Standard deviation of what is added to the expert's actions when they are done; they are kept without (DART)."""
    seed: int = 0
    """Of states and noise."""
    workers: int = 1
    """Processes."""

    def file(self, index: int, number: int) -> Path:
        """Where a demonstration is kept."""
        return self.out / f"{self.suite}-{index}" / f"{number:04d}.npz"


@dataclass(frozen=True)
class Job:
    """One demonstration to be made."""

    index: int
    number: int


@dataclass(frozen=True)
class Made:
    """How a job went: `length` actions, after `failures` states in which the expert failed; 0 where all did."""

    length: int
    failures: int


def play(
    player: LiberoPlayer,
    expert: LiberoExpert,
    state: Floats,
    rng: np.random.Generator,
    noise: float,
    look: Callable[[Floats], None] = lambda action: None,
) -> bool:
    """Plays one episode from an initial state; returns whether the task was done.

    Args:
        player: of the task.
        expert: of the player's world.
        state: see `LiberoPlayer.reset`.
        rng: of the noise.
        noise: standard deviation of what is added to moves; to turns, `TURN_NOISE` of it.
        look: called before each action (7,) with what the expert means to do, without the noise.
    """
    steps = WorldSteps(player, state)
    expert.reset()
    sizes = noise * np.array([1.0, 1.0, 1.0, TURN_NOISE, TURN_NOISE, TURN_NOISE, 0.0])
    for _ in steps:
        action = expert.action()
        if action is None:
            break
        look(action)
        steps.act(np.clip(action + sizes * rng.normal(size=7), -1.0, 1.0))
    return steps.success


class Collector:
    """Makes demonstrations in a worker; keeps the player and the expert of the task it was at."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._index = -1
        self._player: LiberoPlayer
        self._expert: LiberoExpert

    def __call__(self, job: Job, report: Report) -> Made:
        """Makes one and writes its file."""
        at = self._collection
        if job.index != self._index:
            self._open(job.index)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([at.seed, job.index, job.number, attempt])
            seed = int(rng.integers(2**31))
            state = draw(self._player.world, self._states, 1, seed, at.spread_m, at.fixtures_m)[0]
            made = self._recorded(state, rng, report)
            if made.success:
                made.save(at.file(job.index, job.number))
                return Made(len(made.actions), attempt)
        return Made(0, ATTEMPTS)

    def _open(self, index: int) -> None:
        if self._index >= 0:
            self._player.close()
        at = self._collection
        self._player = LiberoPlayer(at.suite, index, at.image_size)
        self._expert = LiberoExpert(self._player.world)
        self._states, _ = split(preparation.initial_states(at.suite, index))
        self._index = index

    def _recorded(self, state: Floats, rng: np.random.Generator, report: Report) -> Demonstration:
        player = self._player
        seen: list[LiberoObservation] = []
        actions: list[Floats] = []

        def look(action: Floats) -> None:
            seen.append(player.observe())
            actions.append(action)
            report(1)

        success = play(player, self._expert, state, rng, self._collection.noise, look)
        size = self._collection.image_size
        return Demonstration(
            suite=self._collection.suite,
            index=self._index,
            instruction=player.instruction,
            images=np.array([one.image for one in seen], np.uint8).reshape(-1, size, size, 3),
            proprio=np.array([one.proprio for one in seen], np.float32).reshape(-1, 8),
            actions=np.array(actions, np.float32).reshape(-1, 7),
            success=success,
        )


def collect(collection: Collection, report: Callable[[Job, Made], None] = lambda job, made: None) -> int:
    """Makes the demonstrations that are missing; returns how many the expert could not make.

    Raises:
        LiberoMissing: LIBERO is not installed, or has no such suite.
        WorkersLost: a worker failed.
    """
    preparation.suite(collection.suite)
    jobs = [
        Job(index, number)
        for index in collection.tasks
        for number in range(collection.demonstrations)
        if not collection.file(index, number).exists()
    ]
    given_up = 0
    with WorkerPool[Job, Made](partial(Collector, collection), min(collection.workers, max(len(jobs), 1))) as pool:
        for job, made in pool.run(jobs):
            given_up += made.length == 0
            report(job, made)
    return given_up


def main() -> None:
    """Collects, and prints a line for each demonstration."""
    collection = tyro.cli(Collection, description=__doc__)

    def report(job: Job, made: Made) -> None:
        failed = f", {made.failures} failed before" if made.failures else ""
        print(f"{collection.file(job.index, job.number)}: {made.length} actions{failed}", flush=True)

    given_up = collect(collection, report)
    if given_up:
        raise SystemExit(f"{given_up} demonstrations were given up after {ATTEMPTS} failures each")


if __name__ == "__main__":
    main()
