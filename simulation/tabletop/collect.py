"""Collects demonstrations of the table-top tasks by the scripted experts; a command.

    python -m simulation.tabletop.collect --tasks pick_bottle --demonstrations 20 --out runs/tabletop/demonstrations

Begins where it was interrupted: a demonstration whose file is there is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro

from robots.embodiments.piper import MAX_STEP_M, MAX_STEP_RAD
from simulation.demonstrations import collector
from simulation.demonstrations.collector import CollectionOptions, Noise, Stage
from simulation.tabletop.expert import TabletopExpert
from simulation.tabletop.states import Floats, draw
from simulation.tabletop.task import SUITE, TASKS, task_named
from simulation.tabletop.world import TabletopWorld

BOUNDS = np.array([*(MAX_STEP_M,) * 3, *(MAX_STEP_RAD,) * 3, 1.0])


@dataclass(frozen=True, kw_only=True)
class TabletopCollection(CollectionOptions):
    """Demonstrations of table-top tasks."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Their names."""
    spread: float = 1.0
    """Fraction of the tasks' areas in which objects are placed."""
    randomise: float = 0.0
    """Fraction of the demonstrations with other colours, light, camera, mass and friction."""
    noise_m: float = 0.004
    """Standard deviation of what is added to each coordinate of the expert's moves; they are kept without (DART)."""


class TabletopStages:
    """Opens the tasks of a collection, one after the other; see `collector.Stages`."""

    def __init__(self, collection: TabletopCollection) -> None:
        self._collection = collection
        self._world: TabletopWorld | None = None

    def file(self, index: int, number: int) -> Path:
        """Where a demonstration is kept."""
        return self._collection.out / f"{SUITE}-{index}" / f"{number:04d}.npz"

    def open(self, index: int) -> Stage:
        """Makes a task ready, by its number in `TASKS`."""
        if self._world is not None:
            self._world.close()
        at, task = self._collection, list(TASKS.values())[index]
        self._world = world = TabletopWorld(task, at.image_size)

        def begin(rng: np.random.Generator) -> Floats:
            return draw(task, rng, held_out=False, spread=at.spread, randomise=at.randomise)

        noise = Noise(np.array([*(at.noise_m,) * 3, *(0.0,) * 4]), np.append(-BOUNDS[:6], 0.0), BOUNDS)
        return Stage(SUITE, index, world, TabletopExpert(world), begin, noise)


def main() -> None:
    """Collects, and prints a line for each demonstration."""
    collection = tyro.cli(TabletopCollection, description=__doc__)
    indices = [list(TASKS).index(task_named(name).name) for name in collection.tasks]
    stages = TabletopStages(collection)
    collector.print_demonstrations(stages, partial(collector.collect_with, stages, indices, collection))


if __name__ == "__main__":
    main()
