"""Episodes for PPO: played by real twins, the same for the same seed, and whole."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policies import TINY, tiny_policy

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from training.data.packing import Instructions, collate
from training.imitation.loss import batch_logits
from training.models.image_encoder import HalfPrecision, Normalise
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import frozen_weights, trained_weights
from training.rl.options import RolloutOptions
from training.rl.ppo_loss import log_probabilities, of_actions
from training.rl.reward import RewardOptions, rewards
from training.rl.rollout import RolloutJob, RolloutWorker, jobs_of
from training.rl.trajectory import Trajectory, joined, per_step
from training.runtime.weights import arrays, tensors

DONE = SPOC_ACTIONS.index("done")
PLAY = RolloutOptions(max_steps=8, slots=3, bf16=False)


def quiet(steps: int) -> None:
    """Hears of steps."""


def policy(done: float = 0.0) -> SpocPolicy:
    """A policy that chooses `done` less often, the smaller the number."""
    made = tiny_policy(1)
    with torch.no_grad():
        made.actor.bias[DONE] += done
        made.actor.bias[SPOC_ACTIONS.index("move_ahead")] += 2.0
    return made


def player(one: SpocPolicy, play: RolloutOptions = PLAY, reward: RewardOptions = RewardOptions()) -> RolloutWorker:  # noqa: B008
    return RolloutWorker(one.config, arrays(frozen_weights(one)), play, reward)


def play(one: SpocPolicy, playing: RolloutWorker, count: int = 5, seed: int = 3) -> list[Trajectory]:
    return playing(RolloutJob((seed,), count, arrays(trained_weights(one))), quiet)


@pytest.fixture(scope="module")
def actor() -> SpocPolicy:
    return policy(done=1.0)


@pytest.fixture(scope="module")
def played(actor: SpocPolicy) -> list[Trajectory]:
    return play(actor, player(actor))


def test_episodes_are_whole(played: list[Trajectory]) -> None:
    assert len(played) == 5
    assert {one.said_done for one in played} == {True, False}  # both kinds are there
    for one in played:
        assert (one.actions == DONE).any() == one.said_done
        assert one.said_done or len(one) == PLAY.max_steps
        looks = len(one) if one.said_done else len(one) + 1  # cut off: one more look
        assert one.features.shape == (looks, 2, TINY.image.tokens, TINY.image.token_width)
        assert len(one.previous) == len(one.state) == looks
        assert one.previous[0] == TINY.tokens.start
        assert len(one.actions) == len(one.log_p) == len(one.rewards)


def test_the_same_job_gives_the_same_episodes(actor: SpocPolicy, played: list[Trajectory]) -> None:
    again = play(actor, player(actor))
    for one, other in zip(played, again):
        assert one.instruction == other.instruction
        for name in ("features", "previous", "actions", "log_p", "rewards"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_another_seed_gives_others(actor: SpocPolicy, played: list[Trajectory]) -> None:
    other = play(actor, player(actor), 2, seed=4)
    assert not np.array_equal(other[0].features[0], played[0].features[0])


def test_a_player_takes_the_jobs_weights(actor: SpocPolicy) -> None:
    playing = player(actor)
    eager = policy(done=50.0)
    assert all(len(one) == 1 and one.said_done for one in play(eager, playing, 2))
    patient = policy(done=-50.0)
    assert all(len(one) == PLAY.max_steps and not one.said_done for one in play(patient, playing, 2))


def test_log_probabilities_are_those_of_the_learner(actor: SpocPolicy, played: list[Trajectory]) -> None:
    episodes = joined(played)
    words = Instructions(episodes, tokenizer_for(TINY.text))
    batch = collate(episodes, words, [list(range(len(played)))], 64)
    with torch.no_grad():
        log_p = log_probabilities(batch_logits(actor, batch, words)[0], torch.ones(20, dtype=torch.bool))
    own = of_actions(log_p, batch.labels[0])[torch.from_numpy(acted(played))]
    assert own.tolist() == pytest.approx(np.concatenate([one.log_p for one in played]).tolist(), abs=2e-3)


def acted(played: list[Trajectory]) -> np.ndarray:
    return per_step(played, [np.ones(len(one)) for one in played]) > 0


def test_joined_steps_lie_where_they_are_said_to(played: list[Trajectory]) -> None:
    episodes = joined(played)
    assert episodes.lengths.tolist() == [len(one.previous) for one in played]
    assert len(episodes.labels) == len(episodes.features) == episodes.lengths.sum()
    numbers = per_step(played, [np.arange(len(one)) + 1.0 for one in played])
    for one, start, length in zip(played, episodes.starts, episodes.lengths):
        assert np.array_equal(episodes.features[start : start + length], one.features)
        assert np.array_equal(episodes.labels[start : start + len(one)], one.actions)
        assert numbers[start : start + len(one)].tolist() == [*np.arange(len(one)) + 1.0]
        assert one.said_done or numbers[start + length - 1] == 0.0
    assert acted(played).sum() == sum(map(len, played))


def test_rewards() -> None:
    blocked = [False, True, True, False]
    assert rewards(RewardOptions(), blocked, 5, True).tolist() == [0, 0, 0, 0, 10]
    assert rewards(RewardOptions(), blocked, 5, False).tolist() == [0] * 5
    shaped = RewardOptions(success=1.0, step=-0.01, collision=-0.5)
    assert rewards(shaped, blocked, 5, True).tolist() == pytest.approx([-0.01, -0.51, -0.51, -0.01, 0.99])
    assert rewards(shaped, blocked, 4, False).tolist() == pytest.approx([-0.01, -0.51, -0.51, -0.01])


def test_bumps_are_counted_and_fined(actor: SpocPolicy) -> None:
    ahead = policy(done=-50.0)
    with torch.no_grad():
        ahead.actor.bias[SPOC_ACTIONS.index("move_ahead")] += 50.0
    longer = replace(PLAY, max_steps=30)
    (one,) = play(ahead, player(ahead, longer, RewardOptions(collision=-0.5)), 1)
    assert one.collisions > 0
    assert one.rewards.sum() == pytest.approx(-0.5 * one.collisions)


def test_half_precision_is_close_to_the_encoder() -> None:
    torch.manual_seed(0)
    encoder = tiny_policy().image_encoder
    for one in encoder.modules():
        if isinstance(one, torch.nn.BatchNorm2d):  # statistics that are not those of a new network
            one.running_mean.normal_(0.0, 0.1)  # type: ignore[union-attr]
            one.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    images = torch.randint(0, 256, (6, TINY.image.height, TINY.image.width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = encoder(images)
        half = HalfPrecision(encoder)
        assert torch.allclose(half.inner(images), expected, atol=1e-4)  # batch normalisation folded away
        assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in half.modules())
        rough = half(images)
    assert rough.dtype == torch.float32
    assert (rough - expected).abs().mean() < 0.02


def test_half_precision_computes_bit_for_bit_what_the_layers_do_one_by_one() -> None:
    half, images = HalfPrecision(tiny_policy().image_encoder), torch.randint(0, 256, (3, 28, 48, 3), dtype=torch.uint8)
    kept = images.clone()
    plain = deepcopy(half.inner)
    plain.normalise = Normalise()
    for one in plain.modules():
        if isinstance(one, torch.nn.ReLU):
            one.inplace = False
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = plain(images).float()
        assert torch.equal(half.inner.normalise(images), plain.normalise(images))
    with torch.inference_mode():
        assert torch.equal(half(images), expected)
    assert torch.equal(images, kept)


def test_an_updates_episodes_are_shared_out() -> None:
    made = jobs_of(7, 3, 10, 4, {})
    assert [one.episodes for one in made] == [3, 3, 2, 2]
    assert len({one.seed for one in made}) == 4
    assert not {one.seed for one in made} & {one.seed for one in jobs_of(7, 4, 10, 4, {})}
    assert "weights" not in repr(made[0])


def test_weights_travel_as_numbers() -> None:
    one = tiny_policy()
    sent = arrays(one.state_dict())
    back = tensors(sent)
    assert all(torch.equal(back[name], value) for name, value in one.state_dict().items())
    with torch.no_grad():
        one.actor.bias.add_(1.0)
    assert not torch.equal(back["actor.bias"], one.actor.bias)  # a copy
