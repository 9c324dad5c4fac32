"""Trajectories of a vision-language-action policy in a toy world: chunks, ends, masks, and log-probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from reach_world import ReachTasks, ReachWorld
from vla_policies import small_policy

from training.runtime.weights import arrays
from training.vla.grpo.batch import Batch, minibatches
from training.vla.grpo.loss import token_log_p
from training.vla.policy.model import VlaPolicy
from training.vla.rollout.rollout import RolloutJob, RolloutWorker, Trajectory, choose, play_group

MIDDLE = np.array([0.0, 0.0, 0.9, 0.9, 9.0, 9.0])


def job(samples: int = 2, **changes: Any) -> RolloutJob:
    seeds = tuple((1, sample) for sample in range(samples))
    return RolloutJob(**{"number": 0, "task": 0, "state": (5,), "samples": seeds, "temperature": 1.0, "rows": 8,
                         "weights": {}, **changes})  # fmt: skip


def played(world: ReachWorld, state: np.ndarray = MIDDLE, **changes: Any) -> list[Trajectory]:  # type: ignore[type-arg]
    return play_group(world, state, small_policy(), job(**changes), lambda steps: None)


class Line(ReachWorld):
    """Done after a number of actions, whatever they are."""

    def __init__(self, last: int, max_actions: int = 16) -> None:
        super().__init__(max_actions=max_actions)
        self.last, self.actions = last, 0

    def reset(self, state: np.ndarray) -> None:  # type: ignore[type-arg]
        super().reset(state)
        self.actions = 0

    def step(self, action: np.ndarray) -> bool:  # type: ignore[type-arg]
        self.actions += 1
        return self.actions >= self.last


def test_a_trajectory_ends_when_it_succeeds_and_rows_after_it_do_not_count() -> None:
    world = Line(last=11)
    (one,) = played(world, samples=1)
    assert one.success
    assert one.actions == world.actions == 11
    assert one.images.shape == (2, 32, 32, 3)
    assert one.tokens.shape == one.log_p.shape == (2, 8, 7)
    assert one.executed.sum(1).tolist() == [8, 3]
    assert world.looks == 2  # no image after the end


def test_a_trajectory_that_does_not_succeed_is_cut_off_at_the_limit() -> None:
    (one,) = played(Line(last=99, max_actions=13), samples=1)
    assert not one.success
    assert one.actions == 13
    assert one.executed.sum(1).tolist() == [8, 5]


def test_fewer_rows_of_a_chunk_may_be_executed() -> None:
    (one,) = played(Line(last=99, max_actions=6), samples=1, rows=4)
    assert one.executed.sum(1).tolist() == [4, 2]


def test_a_group_looks_at_its_state_once() -> None:
    world = Line(last=8)
    group = played(world, samples=4)
    assert world.looks == 1
    assert world.resets == 4
    assert all(np.array_equal(one.images, group[0].images) for one in group)
    assert not np.array_equal(group[0].tokens, group[1].tokens)


def test_the_same_job_gives_the_same_trajectories_in_any_worker() -> None:
    policy = small_policy(3)
    weights = arrays(policy.state_dict())
    reports: list[int] = []
    groups = [RolloutWorker(policy.config, ReachTasks())(job(weights=weights), reports.append) for _ in range(2)]
    for one, other in zip(*groups):
        assert np.array_equal(one.tokens, other.tokens)
        assert np.array_equal(one.log_p, other.log_p)
    assert sum(reports) == sum(one.actions for group in groups for one in group)


def test_log_probabilities_of_sampling_are_found_again() -> None:
    policy = small_policy()
    groups = [play_group(ReachTasks().world(0), MIDDLE, policy, job(samples=3, temperature=0.6), lambda steps: None)]
    batch = Batch.of(groups, policy)
    with torch.no_grad():
        log_p, _ = token_log_p(policy(batch.images, batch.words, batch.proprio), batch.tokens, 0.6)
    assert torch.allclose(log_p, batch.log_p, atol=1e-4)


def test_samples_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(4000, 1, 3)
    tokens, log_p = choose(logits, 1.0, np.random.default_rng(0))
    assert np.bincount(tokens.ravel()) / 4000 == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    assert log_p[tokens == 1] == pytest.approx(np.log(0.3), abs=1e-5)
    cold, _ = choose(logits, 0.0, np.random.default_rng(0))
    assert not cold.any()
    hot, _ = choose(logits, 100.0, np.random.default_rng(0))
    assert np.bincount(hot.ravel()) / 4000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_an_evaluation_keeps_outcomes_alone() -> None:
    (one,) = played(Line(last=99), samples=1, keep=False, temperature=0.0)
    assert one.actions == 16
    assert len(one.images) == 1


def trajectory(policy: VlaPolicy, chunks: int, success: bool) -> Trajectory:
    tokens = np.full((chunks, 8, 7), chunks, np.uint8)
    return Trajectory(
        "reach", np.zeros((chunks, 32, 32, 3), np.uint8), np.zeros((chunks, 8), np.float32), tokens,
        np.zeros((chunks, 8, 7), np.float32), np.ones((chunks, 8), bool), 8 * chunks, success,
    )  # fmt: skip


def test_a_batch_knows_whose_each_chunk_is() -> None:
    policy = small_policy()
    groups = [
        [trajectory(policy, 1, True), trajectory(policy, 2, False)],
        [trajectory(policy, 3, False), trajectory(policy, 1, True)],
    ]
    batch = Batch.of(groups, policy)
    assert batch.owner.tolist() == [0, 1, 1, 2, 2, 2, 3]
    half = 2**-0.5  # of a group of two: +-1/2 over the unbiased standard deviation sqrt(1/2)
    assert batch.advantages.tolist() == pytest.approx([half, -half, -half, -half, -half, -half, half], rel=1e-4)
    some = batch.of_trajectories(np.array([1, 3]))
    assert some.owner.tolist() == [1, 1, 3]
    assert some.tokens[:, 0, 0].tolist() == [2, 2, 1]
    assert [len(part) for part, _ in batch.parts(3)] == [3, 3, 1]


def test_minibatches_hold_every_trajectory_once() -> None:
    parts = minibatches(np.random.default_rng(0), 10, 4)
    assert [len(part) for part in parts] == [4, 3, 3]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
