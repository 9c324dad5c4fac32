"""GRPO on two ranks, as real processes that torchrun starts: they learn what one rank learns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grpo_ranks import rank_options, tasks
from pool_here import without_processes
from reach_world import ReachTasks
from vla_policies import grpo_options, small_policy, write_policy

from training.errors import ConfigError
from training.runtime.checkpoint import load
from training.runtime.distributed import Ranks
from training.vla.grpo.group_rollouts import Rollouts, results_of
from training.vla.grpo.grpo import Trainer
from training.vla.grpo.loss import minibatch_total
from training.vla.policy.checkpoint import KIND
from training.vla.rollout.rollout import RolloutWorker

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parents[1] / "support"
ROOT = Path(__file__).parents[2]
ROUNDING = 0.1
"""Of the way of the weights: sums of gradients in another order, through Adam, which enlarges the smallest ones."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an untrained policy, whose hand trembles towards one corner: sometimes a blob is there."""
    folder, policy = tmp_path_factory.mktemp("ranks"), small_policy(1)
    with torch.no_grad():
        bias = policy.network.head.bias.view(7, 16)  # type: ignore[union-attr, operator]
        bias[:2] += 0.2 * torch.arange(16)
    write_policy(folder, policy)
    return folder


def on_two_ranks(run: Path, name: str, steps: int) -> str:
    """Runs so many steps on two ranks; returns their output."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = os.pathsep.join([str(ROOT), str(SUPPORT)])
    done = subprocess.run(
        [*line, str(SUPPORT / "grpo_ranks.py"), str(run), name, str(steps)], cwd=ROOT, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def figures_of(output: str) -> dict[str, float]:
    """Metrics of step 1, as its line has them."""
    line = output.split("step 1: ")[1].splitlines()[0]
    return {name: float(value) for name, value in (cell.rsplit(" ", 1) for cell in line.split(", "))}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Between two sets of weights."""
    return float(torch.stack([(one[name] - value).norm() for name, value in other.items()]).norm())


def progress(payload: dict[str, Any]) -> list[Any]:
    """What is counted."""
    return [payload[name] for name in ("step", "updates", "trajectories", "groups")]


def test_two_ranks_learn_what_one_learns_and_one_goes_on_where_they_stopped(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = on_two_ranks(run, "two", 1)
    without_processes(monkeypatch, "training.vla.rollout.pool")
    assert output.count("of 6 held-out states") == 1  # rank 0 alone speaks
    one = Trainer(rank_options(run, "one"), tasks)
    one.run(steps=1)
    alone, both = load(one.last, KIND), load(run / "two" / "last.pt", KIND)
    assert progress(both) == progress(alone)
    assert alone["updates"] > 0
    assert both["evaluations"] == alone["evaluations"]
    start = load(run / "sft" / "last.pt", KIND)["weights"]
    figures = [figures_of(output), figures_of(capsys.readouterr().err)]
    assert "gradient_norm" in figures[0]
    assert figures[0].pop("clip_fraction") == pytest.approx(figures[1].pop("clip_fraction"), abs=0.01)  # a threshold
    assert figures[0] == pytest.approx(figures[1], rel=2e-3, abs=1e-5)
    assert distance(both["learner"], alone["learner"]) < ROUNDING * distance(start, alone["learner"])
    resumed = Trainer(rank_options(run, "two", resume=True), tasks)
    resumed.resume()
    resumed.run(steps=1)
    assert load(resumed.last, KIND)["step"] == 2


@pytest.mark.parametrize("aggregation", ["trajectory", "token"])
def test_halves_of_a_minibatch_add_up_to_its_gradient(run: Path, aggregation: str) -> None:
    made = Trainer(grpo_options(run, aggregation=aggregation, group_size=3, lr=0.0), lambda size: ReachTasks())
    worker = RolloutWorker(made.policy.config, made.tasks)
    groups = [worker(job, lambda actions: None) for job, _ in zip(made.jobs(), range(2))]
    kept = [results_of(0, group) for group in groups]
    gradients = []
    for own in ({0: groups[0], 1: groups[1]}, {0: groups[0]}, {1: groups[1]}):
        rollouts = Rollouts(kept, kept, own)
        batch, chosen = rollouts.batch(made.policy), np.array([0, 2, 3, 5])
        assert batch is not None
        assert set(batch.owner.tolist()) == {3 * group + n for group in own for n in range(3)}
        batch = replace_advantages(batch)
        made._optimiser_step(
            batch.of_trajectories(chosen), minibatch_total(np.array(rollouts.rows)[chosen], aggregation), False
        )
        gradients.append([one.grad.clone() for one in made.trained if one.grad is not None])
        clipped(made, gradients[-1])
    for whole, first, second in zip(*gradients):
        assert torch.allclose(whole, first + second, atol=1e-6)
    assert max(float(one.abs().max()) for one in gradients[0]) > 1e-4


def replace_advantages(batch: Any) -> Any:
    """A batch with advantages by number of trajectory."""
    from dataclasses import replace

    return replace(batch, advantages=(batch.owner.float() - 2.5) / 100.0)  # small: no gradient is clipped


def clipped(made: Trainer, gradients: list[torch.Tensor]) -> None:
    """The norm must be below the limit, else halves do not add up."""
    norm = torch.stack([one.norm() for one in gradients]).norm()
    assert norm < 0.9 * made.options.max_grad_norm


def test_each_rank_needs_a_group(run: Path) -> None:
    with pytest.raises(ConfigError, match="groups: got 2, expected at least one for each of 3 ranks"):
        Trainer(grpo_options(run), tasks, ranks=Ranks(0, 3, torch.distributed.HashStore()))
