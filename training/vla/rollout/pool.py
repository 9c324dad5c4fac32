"""The simulators that play rollouts: processes on this machine, or actors on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from simulation.ray_pool import RayPool, WatchedWork
from simulation.worker_pool import WorkerPool
from training.vla.rollout.pool_options import PoolOptions
from training.vla.rollout.rollout import RolloutJob, RolloutWorker, Trajectory

Simulators: TypeAlias = WorkerPool[RolloutJob, list[Trajectory]] | RayPool[RolloutJob, list[Trajectory]]


def simulators(make: Callable[[], RolloutWorker], options: PoolOptions) -> Simulators:
    """Makes them, to be entered: wherever they are, they play the same trajectories for the same seeds."""
    if options.ray:
        return RayPool(partial(WatchedWork, make, options.stall_s), options.workers, options.ray)
    return WorkerPool(make, options.workers, stall_s=options.stall_s)
