"""PIRLNav's schedule, and what is frozen while the critic learns alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, different, same
from variants import SMALL, episodes, write_clone

from training.rl.pirlnav import PirlnavOptions, PirlnavTrainer, ramp
from training.rl.rollout_buffer import RolloutBuffer
from training.runtime.checkpoint import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clone(tmp_path_factory.mktemp("pirlnav"))


def options(run: Path, name: str = "pirlnav", **changes: Any) -> PirlnavOptions:
    return replace(PirlnavOptions(run=run, name=name, **{**SMALL, "warmup": 2, "actor_full": 4}), **changes)


def test_a_ramp() -> None:
    assert [ramp(now, 2, 6) for now in (0, 2, 3, 5, 6, 9)] == [0.0, 0.0, 0.25, 0.75, 1.0, 1.0]
    assert [ramp(now, 2, 2) for now in (1, 2, 3)] == [0.0, 0.0, 1.0]


def test_the_actors_rate_rises_while_the_critics_falls() -> None:
    made = PirlnavOptions(lr=1.0, critic_lr=9.0, warmup=10, actor_full=20, critic_falls=4, critic_fallen=16)
    assert made.rates(0) == (0.0, 9.0)
    assert made.rates(4) == (0.0, 9.0)
    assert made.rates(10) == (0.0, pytest.approx(5.0))
    assert made.rates(15) == (0.5, pytest.approx(9.0 - 8.0 * 11 / 12))
    assert made.rates(20) == made.rates(500) == (1.0, 1.0)


def test_at_first_the_critics_head_alone_learns(run: Path) -> None:
    made = PirlnavTrainer(options(run))
    assert made.model.critic is None  # one network
    assert [group["eps"] for group in made.optimiser.param_groups] == [1e-5, 1e-5]
    network, head = copied(made.model.actor.state_dict()), copied(made.model.value.state_dict())
    for _ in range(2):
        figures = made.update_policy(RolloutBuffer.of(episodes()))
        assert figures["actor_lr"] == 0.0
        assert figures["actor_norm"] == 0.0
    assert same(network, made.model.actor.state_dict())
    assert not same(head, made.model.value.state_dict())
    assert all(one not in made.optimiser.state for one in made.groups[0])  # nor has it any momentum
    made.update_policy(RolloutBuffer.of(episodes()))  # its rate is still 0
    assert same(network, made.model.actor.state_dict())
    figures = made.update_policy(RolloutBuffer.of(episodes()))
    assert figures["actor_lr"] == pytest.approx(made.options.lr / 2)
    assert not same(network, made.model.actor.state_dict())
    encoder = [name for name in network if name.startswith("image_encoder.")]
    assert all(torch.equal(network[name], made.model.actor.state_dict()[name]) for name in encoder)
    assert np.isfinite(list(figures.values())).all()


def test_a_resumed_run_equals_an_unbroken_one(run: Path) -> None:
    def learnt(updates: int, name: str, resume: bool = False) -> PirlnavTrainer:
        made = PirlnavTrainer(options(run, name))
        if resume:
            made.resume()
        for _ in range(updates):
            made.update_policy(RolloutBuffer.of(episodes()))
        made.save("last.pt")
        return made

    learnt(5, "unbroken")
    learnt(3, "broken")
    learnt(2, "broken", resume=True)
    saved = [load(run / name / "last.pt", "policy") for name in ("unbroken", "broken")]
    assert different(*saved) == []
    assert saved[0]["training"]["reward"]["success"] == 2.5
