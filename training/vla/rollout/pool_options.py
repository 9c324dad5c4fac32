"""Options of the simulators of a vision-language-action policy; light, so that a help text needs no simulator."""

from __future__ import annotations

from dataclasses import dataclass

from training.runtime.options import WorkerOptions


@dataclass(frozen=True)
class PoolOptions(WorkerOptions):
    """Simulators on this machine, or on a Ray cluster."""

    ray: str = ""
    """Address of a Ray cluster on which the simulators run instead of here, e.g. HEAD:6379; auto for one that runs on
    this machine, local for one that is started for this run. `--workers` are then its actors."""
