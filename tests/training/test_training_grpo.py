"""GRPO on a toy: success rises, a resumed run is the unbroken one, and what goes wrong is noticed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, different, same
from pool_here import without_processes
from reach_world import ReachTasks, demonstrations
from vla_policies import SMALL, grpo_options, rollouts_of, sft_options, small_policy, write_policy

from training.errors import CheckpointError, ConfigError, DeadGroups, Diverged, RolloutMismatch
from training.runtime.checkpoint import load
from training.vla.grpo import group_health
from training.vla.grpo.grpo import Trainer, expect_agreement
from training.vla.policy import config
from training.vla.policy.checkpoint import KIND, load_policy
from training.vla.rollout.rollout import RolloutWorker
from training.vla.sft import sft


def trainer(run: Path, tasks: ReachTasks | None = None, **changes: Any) -> Trainer:
    return Trainer(grpo_options(run, **changes), lambda size: tasks or ReachTasks())


@pytest.fixture
def pool_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollouts without processes."""
    without_processes(monkeypatch, "training.vla.rollout.pool")


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a policy that imitates eight demonstrations, not well."""
    run = tmp_path_factory.mktemp("cloned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config.SIZES, "small", SMALL)  # type: ignore[arg-type]
        sft.Trainer(sft_options(run), demonstrations(8)).run()
    return run


@pytest.mark.slow
@pytest.mark.usefixtures("pool_here")
def test_success_rises(cloned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learning = trainer(
        cloned, name="rises", steps=12, groups=8, group_size=8, max_tries=4, minibatch=16, epochs=3, lr=2e-3,
        last_lr=0.3, temperature=0.8, evaluate_every=12, evaluate_states=50,
    )  # fmt: skip
    learning.run()
    before, after = learning.evaluations
    assert (before["step"], after["step"]) == (0, 12)
    assert after["success"] > before["success"] + 0.15
    assert after["low"] < after["success"] < after["high"]
    output = capsys.readouterr().err
    assert "of 50 held-out states" in output
    assert "trajectories/h" in output
    assert "kept" in output


@pytest.mark.slow
@pytest.mark.usefixtures("pool_here")
def test_a_resumed_run_is_the_unbroken_one(cloned: Path) -> None:
    both = {"ema": 0.9, "evaluate_every": 2, "evaluate_states": 4, "epochs": 2, "steps": 2}
    unbroken = trainer(cloned, name="one", **both)
    unbroken.run()
    trainer(cloned, name="two", **both).run(steps=1)
    torch.manual_seed(123)
    resumed = trainer(cloned, name="two", resume=True, **both)
    resumed.resume()
    assert resumed.step == 1
    resumed.run()
    one, two = load(unbroken.last, KIND), load(resumed.last, KIND)
    assert not different(one, two)
    assert one["updates"] > 0
    moved = [not torch.equal(one["weights"][name], one["learner"][name]) for name in one["weights"]]
    assert any(moved)  # the average is another policy than the learner
    assert load_policy(resumed.last).config == resumed.policy.config


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_group_played_again(
    cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    calm, troubled = trainer(cloned, name="calm"), trainer(cloned, ReachTasks(mark=mark), name="dies")
    troubled.run(steps=1)
    without_processes(monkeypatch, "training.vla.rollout.pool")
    calm.run(steps=1)
    assert mark.exists()
    assert not different(load(calm.last, KIND), load(troubled.last, KIND))


@pytest.mark.usefixtures("pool_here")
def test_a_stop_during_a_rollout_saves_the_last_step(cloned: Path) -> None:
    stopped = trainer(cloned, name="stopped")
    with pytest.raises(KeyboardInterrupt):
        stopped.run(stopping=lambda: stopped.step == 1)
    assert load(stopped.last, KIND)["step"] == 1


@pytest.mark.usefixtures("pool_here")
def test_groups_that_teach_nothing_are_reported_and_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(group_health, "END_AFTER", 3)
    write_policy(tmp_path, small_policy())  # untrained: it trembles around the middle
    dead = trainer(tmp_path, steps=9, max_tries=1)
    with pytest.raises(DeadGroups, match="begin from more demonstrations"):
        dead.run()
    assert "warning: 0 of 6 groups in 3 steps were mixed, 6 failed" in capsys.readouterr().err
    assert load(dead.last, KIND)["step"] == 3


def test_log_probabilities_that_do_not_agree_end_the_run() -> None:
    log_p, executed = torch.zeros(1, 2, 3), torch.tensor([[True, False]])
    expect_agreement(log_p, log_p + torch.tensor([[[1e-5], [9.0]]]), executed)  # the second row was not executed
    with pytest.raises(RolloutMismatch, match=r"got a difference of 0.01 nat, expected at most 0.001"):
        expect_agreement(log_p, log_p + 0.01, executed)
    with pytest.raises(RolloutMismatch):
        expect_agreement(log_p * float("nan"), log_p, executed)


def test_the_learning_rate_rises_and_falls(cloned: Path) -> None:
    made = trainer(cloned, name="rate", steps=10, warmup=4, lr=1.0, last_lr=0.2)
    rates = []
    for step, updates in ((0, 0), (0, 3), (5, 50), (10, 100)):
        made.step, made.updates = step, updates
        rates.append(made.learning_rate())
    assert rates == pytest.approx([0.25, 1.0, 0.6, 0.2])


@pytest.mark.usefixtures("pool_here")
def test_a_gradient_that_is_no_number_leaves_the_checkpoint(cloned: Path) -> None:
    broken = trainer(cloned, name="broken")
    broken.run(steps=1)
    before = broken.last.read_bytes()
    groups = some_groups(broken)
    with torch.no_grad():
        broken.policy.network.head.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises((Diverged, RolloutMismatch)):
        broken.update_policy(rollouts_of(groups))
    assert broken.last.read_bytes() == before


def some_groups(made: Trainer) -> list[Any]:
    """Two groups as a worker plays them; the first trajectory of each counts as a success."""
    worker = RolloutWorker(made.policy.config, ReachTasks())
    groups = [worker(job, lambda steps: None) for job, _ in zip(made.jobs(), range(2))]
    short = np.arange(8) < np.array([[3], [0]])  # the success came after three actions
    return [
        [replace(one, success=True, executed=short), *(replace(one, success=False) for one in rest)]
        for one, *rest in groups
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature: got 0.0, expected more than 0"),
        ({"group_size": 1}, "group_size: got 1, expected at least 2"),
        ({"rows": 9}, "rows: got 9, expected 1 to 8"),
        ({"aggregation": "sequence"}, "aggregation: got 'sequence', expected one of trajectory, token"),
        ({"ema": 1.0}, "ema: got 1.0"),
    ],
)
def test_options_that_allow_no_training_are_refused(cloned: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trainer(cloned, **changes)


def test_other_options_cannot_be_resumed(cloned: Path) -> None:
    trainer(cloned, name="other", evaluate_every=0).run(steps=0)
    with pytest.raises(CheckpointError, match=r"got temperature 1\.0, expected 0\.7"):
        trainer(cloned, name="other", resume=True, temperature=0.7).resume()


def test_tokens_and_trajectories_weigh_differently(cloned: Path) -> None:
    losses = []
    for aggregation in ("trajectory", "token"):
        made = trainer(cloned, name=aggregation, aggregation=aggregation)
        losses.append(made.update_policy(rollouts_of(some_groups(made)))["loss"])
        assert np.isfinite(losses[-1])
    assert losses[0] != losses[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_an_update_agrees_with_the_rollout_and_learns(cloned: Path) -> None:
    made = trainer(cloned, name="cuda", device="cuda", ema=0.9)
    before = copied(made.policy.state_dict())
    assert np.isfinite(made.update_policy(rollouts_of(some_groups(made)))["loss"])
    assert next(made.policy.parameters()).is_cuda
    assert not same(before, made.policy.state_dict())
    made.save()
    assert not next(load_policy(made.last).parameters()).is_cuda


def test_tasks_get_the_size_of_the_policys_images(cloned: Path) -> None:
    sizes: list[int] = []
    Trainer(grpo_options(cloned, name="size"), partial(_noted, sizes))
    assert sizes == [32]


def _noted(sizes: list[int], size: int) -> ReachTasks:
    sizes.append(size)
    return ReachTasks()
