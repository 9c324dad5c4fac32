"""SFT and GRPO of a tiny vision-language model's kind, for torchrun: ... sharded_ranks.py RUN, where jobs.json is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pool_here import without_processes
from reach_world import Floats, ReachTasks, demonstrations
from vla_policies import grpo_options, sft_options

from training.runtime.distributed import Ranks, torchrun
from training.vla.grpo.grpo import Trainer as Grpo
from training.vla.sft.sft import Trainer as Sft

COLOURS = ("red", "blue")


@dataclass(frozen=True)
class Job:
    """A training of so many updates or steps.

    Attributes:
        stage: "sft" or "grpo".
        name: of its folder.
        changes: of the options.
        until: updates or steps after which it is made anew and resumed.
        count: updates or steps.
    """

    stage: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    until: int = 0
    count: int = 4


class NearTasks(ReachTasks):
    """Blobs so near that a hand that trembles is sometimes there."""

    def state(self, task: int, rng: np.random.Generator, held_out: bool) -> Floats:
        state = super().state(task, rng, held_out)
        state[2:] *= 0.25
        return state


def made(run: Path, job: Job, ranks: Ranks, *, resume: bool = False) -> Sft | Grpo:
    """Makes a trainer."""
    if job.stage == "sft":
        own = {"updates": job.count, "batch": 6, "validate_every": 1, "lr": 2e-3, "start": run / "sft" / "last.pt"}
        options = sft_options(run, **{**own, **job.changes, "name": job.name, "resume": resume})
        return Sft(options, demonstrations(4, COLOURS), ranks=ranks)
    sizes = {"groups": 3, "group_size": 4, "minibatch": 5, "microbatch": 4, "rows": 2, "steps": job.count}
    more = {"dynamic_sampling": False, "ema": 0.5, "evaluate_every": 2, "evaluate_states": 3}
    played = grpo_options(run, **{**sizes, **more, **job.changes, "name": job.name, "resume": resume})
    return Grpo(played, lambda size: NearTasks(COLOURS), ranks=ranks)


def curve(run: Path, job: Job, ranks: Ranks) -> list[float]:
    """Makes a job; returns the validation loss of SFT after each update."""
    trainer, losses = made(run, job, ranks), list[float]()
    for number in range(job.count):
        if number and number == job.until:
            torch.manual_seed(123)
            trainer = made(run, job, ranks, resume=True)
            trainer.resume()
        trainer.run(lambda: False, 1)
        losses += [trainer.scores["loss"]] if isinstance(trainer, Sft) else []
    return losses


def write_jobs(run: Path, jobs: Sequence[Job]) -> None:
    """For `main`."""
    (run / "jobs.json").write_text(json.dumps([asdict(job) for job in jobs]))


def main() -> None:
    """Makes the jobs; their curves are written to curves.json."""
    run = Path(sys.argv[1])
    torch.set_num_threads(1)
    without_processes(pytest.MonkeyPatch(), "training.vla.rollout.pool")
    with torchrun(torch.device("cpu")) as ranks:
        jobs = [Job(**job) for job in json.loads((run / "jobs.json").read_text())]
        curves = {job.name: curve(run, job, ranks) for job in jobs}
        if ranks.first:
            (run / "curves.json").write_text(json.dumps(curves))


if __name__ == "__main__":
    main()
