"""GRPO of a pre-trained vision-language model's kind (tiny, random weights), with all its weights and by adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, different, same
from pool_here import without_processes
from reach_world import ReachTasks
from vla_policies import grpo_options, rollouts_of, tokens_policy, write_policy

from training.errors import ConfigError
from training.runtime.checkpoint import load
from training.vla.grpo.group_rollouts import Groups
from training.vla.grpo.grpo import Trainer
from training.vla.grpo.loss import token_log_p
from training.vla.policy.checkpoint import KIND, load_policy
from training.vla.rollout.rollout import RolloutWorker

pytestmark = pytest.mark.slow

RANKS = pytest.mark.parametrize("lora_rank", [0, 2], ids=["all weights", "adapters"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an untrained policy."""
    folder = tmp_path_factory.mktemp("tokens")
    write_policy(folder, tokens_policy())
    return folder


def trainer(run: Path, **changes: Any) -> Trainer:
    sizes = {"rows": 2, "groups": 2, "group_size": 3, "max_tries": 1, "dynamic_sampling": False}
    return Trainer(grpo_options(run, **{**sizes, **changes}), lambda size: ReachTasks(("red", "blue")))


def played(made: Trainer) -> Groups:
    """The first groups of a step as a worker of that training plays them; the first trajectory of each is a success."""
    from dataclasses import replace

    frozen = {name: one.numpy() for name, one in made.policy.state_dict().items() if name in made.frozen}
    worker = RolloutWorker(made.policy.config, made.tasks, frozen)
    groups = [worker(job, lambda actions: None) for job in made.jobs()]
    return [[replace(one, success=number == 0) for number, one in enumerate(group)] for group in groups]


@RANKS
@pytest.mark.parametrize("temperature", [0.7, 1.6])
def test_log_probabilities_at_learning_are_those_at_playing(run: Path, lora_rank: int, temperature: float) -> None:
    made = trainer(run, lora_rank=lora_rank, temperature=temperature, group_size=2)
    batch = rollouts_of(played(made)).batch(made.policy)
    assert batch is not None
    assert len(set(map(tuple, batch.words.tolist()))) == 2  # two instructions in one batch
    with torch.no_grad():
        log_p, entropy = token_log_p(made.policy(batch.images, batch.words, batch.proprio), batch.tokens, temperature)
    assert (log_p - batch.log_p).abs().max() < 1e-5
    assert 0.1 < entropy.mean() < np.log(16) - 0.1  # neither decided nor indifferent
    assert len(batch.tokens.unique()) > 4


@RANKS
def test_an_update_makes_successes_more_probable(run: Path, lora_rank: int) -> None:
    made = trainer(run, lora_rank=lora_rank, epochs=4, lr=3e-3, warmup=1)
    before, rollouts = copied(made.policy.state_dict()), rollouts_of(played(made))
    made.update_policy(rollouts)
    batch = rollouts.batch(made.policy)
    assert batch is not None
    with torch.no_grad():
        log_p, _ = token_log_p(made.policy(batch.images, batch.words, batch.proprio), batch.tokens, 1.0)
    change = (log_p - batch.log_p).mean((1, 2))
    assert change[batch.advantages > 0].mean() > change[batch.advantages < 0].mean() + 0.01
    assert same({name: before[name] for name in made.frozen}, {n: made.policy.state_dict()[n] for n in made.frozen})
    assert bool(made.frozen) == bool(lora_rank)


@RANKS
def test_a_resumed_run_is_the_unbroken_one(run: Path, lora_rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    without_processes(monkeypatch, "training.vla.rollout.pool")
    both = {"lora_rank": lora_rank, "steps": 2, "ema": 0.9, "evaluate_every": 2, "evaluate_states": 2}
    unbroken = trainer(run, name=f"one{lora_rank}", **both)
    unbroken.run()
    trainer(run, name=f"two{lora_rank}", **both).run(steps=1)
    torch.manual_seed(123)
    resumed = trainer(run, name=f"two{lora_rank}", resume=True, **both)
    resumed.resume()
    resumed.run()
    assert not different(load(unbroken.last, KIND), load(resumed.last, KIND))
    again = load_policy(resumed.last)
    assert again.config.lora_rank == lora_rank
    assert same(again.state_dict(), resumed.average)


def test_workers_have_the_frozen_weights_and_adapters_are_added_once(run: Path) -> None:
    added = trainer(run, name="added", lora_rank=2, steps=1)
    added.run()  # in worker processes; log-probabilities that do not agree end it
    assert added.updates > 0
    start = run / "added" / "last.pt"
    assert trainer(run, start=start).frozen  # adapters of a policy are those that are trained
    with pytest.raises(ConfigError, match="without adapters"):
        trainer(run, start=start, lora_rank=2)
