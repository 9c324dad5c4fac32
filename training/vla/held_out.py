"""Success of a policy on held-out states, with the most probable tokens; the same states for every policy."""

from __future__ import annotations

from collections.abc import Callable

from simulation.worker_pool import WorkerPool
from training.runtime.weights import Weights
from training.vla.rollout import RolloutJob, Trajectory

SEED = 20
"""Of the states: not an option, so that evaluations of different runs are paired."""


def held_out_successes(
    pool: WorkerPool[RolloutJob, list[Trajectory]],
    weights: Weights,
    rows: int,
    states: int,
    tasks: int,
    stopping: Callable[[], bool] = lambda: False,
) -> list[bool]:
    """Plays one trajectory from each of `states` states, which go round the `tasks`; incomplete once `stopping()`."""
    jobs = (
        RolloutJob(number, number % tasks, (SEED, number), ((SEED, number),), 0.0, rows, weights, True, keep=False)
        for number in range(states)
    )
    done = {job.number: played[0].success for job, played in pool.run(jobs, give_up=stopping)}
    return [done[number] for number in sorted(done)]
