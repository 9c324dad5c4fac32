"""GRPO's pure functions against values worked out by hand, and the verdict on a run's groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.vla.grpo.group_health import END_AFTER, WARN_AFTER, GroupHealth, Tried
from training.vla.grpo.loss import clipped, group_advantages, is_mixed, row_weights, token_log_p, token_losses


def test_advantages_of_one_success_in_four() -> None:
    # mean 1/4; unbiased variance (3 (1/4)^2 + (3/4)^2) / 3 = 1/4, so the standard deviation is 1/2
    assert group_advantages([1, 0, 0, 0]) == pytest.approx([1.5, -0.5, -0.5, -0.5], rel=1e-5)


def test_a_group_that_agrees_has_no_advantage() -> None:
    assert group_advantages([True] * 8).tolist() == [0.0] * 8
    assert group_advantages([False] * 8).tolist() == [0.0] * 8


@pytest.mark.parametrize(("solved", "mixed"), [(0, False), (1, True), (7, True), (8, False)])
def test_groups_of_eight_are_kept_when_one_to_seven_succeed(solved: int, mixed: bool) -> None:
    assert is_mixed([True] * solved + [False] * (8 - solved)) is mixed


def test_log_probabilities_are_those_at_the_temperature() -> None:
    logits = torch.tensor([[0.0, math.log(4.0)]])
    log_p, entropy = token_log_p(logits, torch.tensor([1]), 1.0)
    assert log_p.item() == pytest.approx(math.log(0.8))
    assert entropy.item() == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))
    log_p, _ = token_log_p(logits, torch.tensor([1]), 2.0)  # odds of 4 become odds of 2
    assert log_p.item() == pytest.approx(math.log(2 / 3))


def test_the_clipping_range_is_wider_upwards() -> None:
    ratio = torch.tensor([1.1, 1.27, 1.5, 0.9, 0.7, 1.5, 0.7])
    advantage = torch.tensor([2.0, 2.0, 2.0, -1.0, -1.0, -1.0, 2.0])
    log_p = torch.log(ratio)
    losses = token_losses(log_p, torch.zeros(7), advantage)
    # better: r up to 1.28; worse: r no less than 0.8; a ratio that went the wrong way counts in full
    assert losses.tolist() == pytest.approx([-2.2, -2.54, -2.56, 0.9, 0.8, 1.5, -1.4])
    outside = clipped(log_p, torch.zeros(7), advantage, 0.2, 0.28)
    assert outside.tolist() == [False, False, True, False, True, False, False]


def test_a_clipped_token_has_no_gradient() -> None:
    log_p = torch.log(torch.tensor([1.5, 1.1])).requires_grad_()
    token_losses(log_p, torch.zeros(2), torch.ones(2)).sum().backward()  # type: ignore[no-untyped-call]
    assert log_p.grad is not None
    assert log_p.grad.tolist() == pytest.approx([0.0, -1.1])


def test_each_trajectory_or_each_token_has_the_same_weight() -> None:
    # trajectory 0 has two chunks with 2 + 1 executed rows, trajectory 2 one chunk with 1; 1 is not in this minibatch
    executed = torch.tensor([[True, True], [True, False], [True, False]])
    owner = torch.tensor([0, 0, 2])
    by_trajectory = row_weights(executed, owner, "trajectory")
    assert by_trajectory.flatten().tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0, 1 / 2, 0])
    by_token = row_weights(executed, owner, "token")
    assert by_token.flatten().tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 4, 0, 1 / 4, 0])


def test_rows_after_the_end_have_no_gradient() -> None:
    logits = torch.zeros(1, 2, 1, 3, requires_grad=True)  # one chunk of two rows, the second after the end
    tokens = torch.zeros(1, 2, 1, dtype=torch.int64)
    log_p, _ = token_log_p(logits, tokens, 1.0)
    weights = row_weights(torch.tensor([[True, False]]), torch.tensor([0]), "trajectory")[..., None]
    losses = token_losses(log_p, log_p.detach(), torch.ones_like(log_p))
    (weights * losses).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 0, 0].tolist() == pytest.approx([-2 / 3, 1 / 3, 1 / 3])
    assert not logits.grad[0, 1].any()


def tried(mixed: int, failed: int, solved: int) -> Tried:
    return Tried(mixed + failed + solved, mixed, failed, solved)


def test_groups_are_counted() -> None:
    assert Tried.of([[True, False], [False, False], [True, True], [False, False]]) == tried(1, 2, 1)


def test_dead_groups_are_reported_with_what_to_do() -> None:
    health = GroupHealth()
    for _ in range(WARN_AFTER - 1):
        health.add(tried(0, 30, 2))
        assert health.advice() is None  # too early
    health.add(tried(1, 30, 2))
    advice = health.advice()
    assert advice is not None
    assert "1 of 97 groups" in advice
    assert "more demonstrations" in advice
    for _ in range(WARN_AFTER):
        health.add(tried(1, 2, 30))
    assert "little is left to learn" in (health.advice() or "")
    for _ in range(WARN_AFTER):
        health.add(tried(8, 10, 10))
    assert health.advice() is None


def test_a_run_is_dead_after_many_steps_without_a_mixed_group() -> None:
    health = GroupHealth()
    for _ in range(END_AFTER):
        assert not health.is_dead
        health.add(tried(0, 8, 0))
    assert health.is_dead
    assert GroupHealth(health.state).is_dead  # as a resumed run finds it
    health.add(tried(1, 8, 0))
    assert not health.is_dead
    assert np.shape(health.state) == (END_AFTER, 4)
