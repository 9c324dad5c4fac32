"""PoliFormer's dense reward: a sum that depends on the nearest point reached alone, played by a real twin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policies import tiny_policy

from robots.command import MoveBase, RotateBase
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions
from training.errors import ConfigError
from training.rl.actor_critic import frozen_weights, trained_weights
from training.rl.options import RolloutOptions
from training.rl.reward import MIDDLE_M, RewardOptions, closer, distance_m
from training.rl.rollout import RolloutJob, RolloutWorker
from training.runtime.weights import arrays


def test_only_what_is_closer_than_ever_counts() -> None:
    assert closer([3.0, 2.0, 2.5, 2.0, 1.5]).tolist() == [1.0, 0.0, 0.0, 0.5]
    assert closer([3.0, 4.0, 3.5]).tolist() == [0.0, 0.0]


def test_the_sum_is_the_first_distance_minus_the_least() -> None:
    distances = np.random.default_rng(0).uniform(1.0, 5.0, 40)
    assert closer(distances).sum() == pytest.approx(distances[0] - distances.min())
    assert (closer(distances) >= 0).all()


def test_the_distance_is_straight_and_to_the_nearest_instance() -> None:
    twin = StretchTwin(TwinOptions(28, 48, move_noise_m=0.0, turn_noise_rad=0.0))
    with twin:
        twin.reset(sample_episode(3))
        x, y, _ = twin.pose
        things = [one.position_m for one in twin.house.objects_of(twin.episode.target)]
        expected = min(math.sqrt((a - x) ** 2 + (b - y) ** 2 + (c - MIDDLE_M) ** 2) for a, b, c in things)
        assert distance_m(twin) == pytest.approx(expected)
        before = distance_m(twin)
        twin.execute(RotateBase(math.radians(30.0)))
        assert distance_m(twin) == pytest.approx(before)
        twin.execute(MoveBase(0.2))
        assert 0 < abs(distance_m(twin) - before) <= 0.2
        twin.reset(replace(twin.episode, target="spaceship"))
        with pytest.raises(ConfigError, match=r"reward.shaping: got task 'object_nav', whose target is 'spaceship'"):
            distance_m(twin)


def test_a_played_episode_is_paid_for_coming_closer() -> None:
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] -= 50.0
        policy.actor.bias[SPOC_ACTIONS.index("move_ahead")] += 5.0
    weights, play = arrays(trained_weights(policy)), RolloutOptions(max_steps=12, slots=2, bf16=False)
    dense, sparse = (
        RolloutWorker(policy.config, arrays(frozen_weights(policy)), play, reward)(
            RolloutJob((5,), 3, weights), lambda steps: None
        )
        for reward in (RewardOptions(shaping=2.0, step=-0.01), RewardOptions(step=-0.01))
    )
    shaping = [one.rewards - other.rewards for one, other in zip(dense, sparse, strict=True)]
    assert all(one.shape == (12,) and (one >= 0).all() for one in shaping)
    assert max(one.max() for one in shaping) > 0.1  # somebody came closer
    assert max(one.max() for one in shaping) <= 2.0 * 0.3  # twice a step and its noise
    assert {np.array_equal(one.actions, other.actions) for one, other in zip(dense, sparse)} == {True}
