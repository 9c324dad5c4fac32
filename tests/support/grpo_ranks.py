"""GRPO of the toy in `reach_world`, for torchrun: python -m torch.distributed.run ... grpo_ranks.py RUN NAME STEPS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from pool_here import without_processes
from reach_world import ReachTasks
from vla_policies import grpo_options

from training.runtime.distributed import torchrun
from training.runtime.interrupt import stop_request
from training.vla.grpo.grpo import Trainer
from training.vla.grpo.options import GrpoOptions


def rank_options(run: Path, name: str, **changes: object) -> GrpoOptions:
    """Options of a run that any number of ranks makes."""
    sizes = {"groups": 3, "group_size": 4, "minibatch": 5, "epochs": 2, "steps": 4, "max_tries": 6}
    kept = {"evaluate_every": 2, "evaluate_states": 6, "save_every_s": 0.0, "ema": 0.5, "aggregation": "token"}
    return grpo_options(run, name=name, **{**sizes, **kept, **changes})


def tasks(size: int) -> ReachTasks:
    """Two tasks."""
    return ReachTasks(("red", "blue"))


def main() -> None:
    """Makes or continues a run."""
    run, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    without_processes(pytest.MonkeyPatch(), "training.vla.rollout.pool")
    with torchrun(torch.device("cpu")) as ranks, stop_request() as stopping:
        options = rank_options(run, name, resume=(run / name / "last.pt").exists())
        trainer = Trainer(options, tasks, ranks=ranks)
        if options.resume:
            trainer.resume()
        trainer.run(stopping, steps)


if __name__ == "__main__":
    main()
