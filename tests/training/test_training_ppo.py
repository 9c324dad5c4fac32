"""PPO on a tiny run with real simulators: what it may change, and when it stops."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, same
from ppo_runs import cloned, episode, episodes, options

from training.data.packing import Instructions, collate
from training.errors import CheckpointError, ConfigError, Diverged, RewardError
from training.rl.ppo import PpoTrainer
from training.rl.reward import RewardOptions
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.trainer import train
from training.rl.trajectory import Trajectory, joined
from training.runtime.checkpoint import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cloned(tmp_path_factory.mktemp("run"))


# What is learnt


def test_warm_up_leaves_the_actor_bit_identical(run: Path) -> None:
    made = PpoTrainer(options(run, warmup=2))
    actor, values = copied(made.model.actor.state_dict()), copied(made.model.value.state_dict())
    for _ in range(2):
        figures = made.update_policy(RolloutBuffer.of(episodes()))
        assert "policy_loss" not in figures
        assert same(actor, made.model.actor.state_dict())
    assert not same(values, made.model.value.state_dict())
    assert "policy_loss" in made.update_policy(RolloutBuffer.of(episodes()))  # and then it learns
    assert not same(actor, made.model.actor.state_dict())


def test_what_is_rewarded_becomes_more_likely(run: Path) -> None:
    made = PpoTrainer(options(run, warmup=0, lr=1e-2, target_kl=float("inf")))
    good, bad = episode(6, 1, reward=10.0), episode(6, 2, reward=-10.0)
    before = [chance(made, one) for one in (good, bad)]
    for _ in range(4):
        made.update_policy(RolloutBuffer.of([good, bad]))
    after = [chance(made, one) for one in (good, bad)]
    assert after[0] > before[0]
    assert after[1] < before[1]


def chance(trainer: PpoTrainer, one: Trajectory) -> float:
    """Mean log-probability of an episode's actions."""
    block = joined([one])
    words = Instructions(block, trainer.tokenizer)
    with torch.no_grad():
        log_p = trainer.model.logits(collate(block, words, [[0]], 16), words)[0].log_softmax(-1)
    return float(log_p[range(len(one)), one.actions.astype(int)].mean())


def test_a_critic_that_shared_its_network_is_not_taken(run: Path) -> None:
    PpoTrainer(options(run, "one_network", shared=True, seed=7)).save("last.pt")
    clone = run / "one_network" / "last.pt"
    made = PpoTrainer(options(run, clone=clone))
    assert not torch.equal(load(clone, "policy")["critic"]["value.weight"], made.model.value.weight)


def test_masked_actions_are_never_learnt(run: Path) -> None:
    made = PpoTrainer(options(run, warmup=0))
    made.mask[10:] = False
    head = copied(made.model.actor.actor.state_dict())
    made.update_policy(RolloutBuffer.of(episodes()))
    after = made.model.actor.actor.state_dict()
    assert torch.equal(after["weight"][10:], head["weight"][10:])
    assert torch.equal(after["bias"][10:], head["bias"][10:])
    assert not torch.equal(after["weight"][:10], head["weight"][:10])


def test_cut_off_episodes_go_on_with_the_critics_value(run: Path) -> None:
    made = PpoTrainer(options(run, gamma=0.9, gae_lambda=1.0))
    ended, cut = episode(3, 0, reward=0.0), episode(3, 0, done=False, reward=0.0)
    one, other = made.compute_advantages([ended]), made.compute_advantages([cut])
    assert one.returns == pytest.approx(np.zeros(3), abs=1e-6)
    assert other.returns[:3] == pytest.approx(float(other.values[3]) * np.array([0.9**3, 0.9**2, 0.9]), rel=1e-4)
    assert other.acted.tolist() == [True, True, True, False]


def test_several_episodes_in_a_row_have_the_values_that_each_has_alone(run: Path) -> None:
    made = PpoTrainer(options(run, context=64))
    some = episodes(5)
    together = made.compute_advantages(some)
    alone = [made.compute_advantages([one]) for one in some]
    assert together.values == pytest.approx(np.concatenate([one.values for one in alone]), abs=1e-5)
    assert together.advantages == pytest.approx(np.concatenate([one.advantages for one in alone]), abs=1e-5)


def test_a_minibatch_in_pieces_is_learnt_from_as_in_one(run: Path) -> None:
    whole, pieces = (PpoTrainer(options(run, warmup=0, microbatch=rows)) for rows in (16, 1))
    before = copied(whole.model.state_dict())
    figures = [made.update_policy(RolloutBuffer.of(episodes(8))) for made in (whole, pieces)]
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)
    assert not same(before, whole.model.state_dict())
    for name, one in whole.model.state_dict().items():
        torch.testing.assert_close(pieces.model.state_dict()[name], one, rtol=0.0, atol=5e-5)  # the rates are 1e-3


@pytest.mark.parametrize("change", [{"shared": True}, {"ent_coef": 0.2}, {"bf16": True}], ids=str)
def test_ablations_run(run: Path, change: dict[str, Any]) -> None:
    made = PpoTrainer(options(run, warmup=1, **change))
    before = copied(made.model.actor.state_dict())
    made.update_policy(RolloutBuffer.of(episodes()))
    assert same(before, made.model.actor.state_dict()) != made.options.shared  # its warm-up reaches the one network
    figures = made.update_policy(RolloutBuffer.of(episodes()))
    assert np.isfinite(list(figures.values())).all()


def test_from_scratch_only_the_image_encoder_is_the_clones(run: Path) -> None:
    clone, made = load(run / "bc" / "best.pt", "policy")["weights"], PpoTrainer(options(run, from_scratch=True, seed=5))
    for name, one in made.model.actor.state_dict().items():
        if name.startswith("image_encoder."):
            assert torch.equal(one, clone[name]), name
    assert not torch.equal(made.model.actor.actor.weight, clone["actor.weight"])


# When it stops


def test_a_reward_that_is_no_number_stops_the_run(run: Path) -> None:
    made = PpoTrainer(options(run, "nan", reward=RewardOptions(step=float("nan"))))
    made.save("last.pt")
    before = (run / "nan" / "last.pt").read_bytes()
    with pytest.raises(RewardError, match=r"reward in update 0: got NaN or infinity"):
        made.run()
    assert (run / "nan" / "last.pt").read_bytes() == before
    assert made.update == 0


def test_a_policy_that_changes_too_fast_stops_the_run(run: Path) -> None:
    made = PpoTrainer(options(run, "fast", warmup=0, target_kl=1e-9))
    with pytest.raises(Diverged, match=r"KL divergence at step 1: got .*"):
        made.update_policy(RolloutBuffer.of(episodes()))


def test_a_loss_that_is_no_number_stops_the_run_before_anything_is_changed(run: Path) -> None:
    made = PpoTrainer(options(run, "loss", warmup=0))
    with torch.no_grad():
        made.model.value.weight[0, 0] = float("nan")
    actor = copied(made.model.actor.state_dict())
    with pytest.raises(Diverged, match="loss or gradient at step 0: got nan"):
        made.update_policy(RolloutBuffer.of(episodes()))
    assert same(actor, made.model.actor.state_dict())


@contextmanager
def no_room() -> Iterator[None]:
    """Files may not grow beyond a few bytes, as on a full disk; pytest's own log among them, so only for a moment."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_the_old_checkpoint_kept(run: Path) -> None:
    made = PpoTrainer(options(run, "full"))
    (run / "full").mkdir()
    (run / "full" / "last.pt").write_bytes(b"old")
    message = r"full/last.pt: got 'File too large', expected to write 1.* MB; what was"
    with pytest.raises(CheckpointError, match=message), no_room():
        made.save("last.pt")
    assert (run / "full" / "last.pt").read_bytes() == b"old"
    assert os.listdir(run / "full") == ["last.pt"]


def test_there_must_be_a_clone(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"bc/best.pt: got no such file"):
        PpoTrainer(options(tmp_path))


def test_a_dense_reward_is_for_tasks_that_it_fits(run: Path) -> None:
    play = replace(options(run).play, task=("object_nav", "room_visit"))
    with pytest.raises(ConfigError, match=r"reward.shaping: got 1.0 in task 'room_visit'"):
        PpoTrainer(options(run, play=play, reward=RewardOptions(shaping=1.0)))


def test_an_update_is_learnt_from_in_pieces_of_some_rows(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"microbatch: got 0, expected at least 1"):
        PpoTrainer(options(run, microbatch=0))


def test_a_run_is_not_written_over(run: Path, tmp_path: Path) -> None:
    made = PpoTrainer(options(run, "kept"))
    made.save("last.pt")
    before = made.last.read_bytes()
    with pytest.raises(CheckpointError, match=r"kept/last.pt: the checkpoint exists already"):
        train(made)
    assert made.last.read_bytes() == before
