"""The losses of discrete SAC against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.rl.ppo_loss import log_probabilities
from training.rl.sac_loss import actor_loss, entropies, expected, follow, q_loss, soft_values, targets, temperature_loss

HALVES = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
Q = torch.tensor([[1.0, 3.0], [4.0, 0.0]])
ENTROPY = [math.log(2.0), -0.25 * math.log(0.25) - 0.75 * math.log(0.75)]


def test_expectations() -> None:
    assert expected(HALVES, Q).tolist() == pytest.approx([2.0, 1.0])
    assert entropies(HALVES).tolist() == pytest.approx(ENTROPY)


def test_soft_values() -> None:
    assert soft_values(HALVES, Q, 0.0).tolist() == pytest.approx([2.0, 1.0])
    wanted = [2.0 + 0.1 * ENTROPY[0], 1.0 + 0.1 * ENTROPY[1]]
    assert soft_values(HALVES, Q, 0.1).tolist() == pytest.approx(wanted)


def test_targets() -> None:
    rewards, following = torch.tensor([1.0, 10.0, 0.0]), torch.tensor([5.0, 7.0, 2.0])
    ended = torch.tensor([False, True, False])
    assert targets(rewards, following, ended, 0.9).tolist() == pytest.approx([1 + 4.5, 10.0, 1.8])


def test_nothing_that_follows_an_end_can_spoil_it() -> None:
    out = targets(torch.tensor([10.0]), torch.tensor([float("nan")]), torch.tensor([True]), 0.9)
    assert out.tolist() == [10.0]


def test_q_loss() -> None:
    q = Q.clone().requires_grad_()
    loss = q_loss(q, torch.tensor([1, 0]), torch.tensor([1.0, 5.0]))
    assert loss.item() == pytest.approx(0.5 * (2.0**2 + 1.0**2) / 2)
    (slope,) = torch.autograd.grad(loss, q)
    assert slope.tolist() == [[0.0, 1.0], [-0.5, 0.0]]  # the taken actions alone


def test_actor_loss() -> None:
    assert actor_loss(HALVES, Q, 0.5).item() == pytest.approx(-(3.0 + 0.5 * sum(ENTROPY)) / 2)


def test_the_best_policy_is_the_softmax_of_q_over_the_temperature() -> None:
    best = log_probabilities(Q / 0.5, torch.ones(2, dtype=torch.bool))
    logits = (Q / 0.5).clone().requires_grad_()
    loss = actor_loss(log_probabilities(logits, torch.ones(2, dtype=torch.bool)), Q, 0.5)
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope.abs().max() < 1e-6
    for other in (HALVES, best.flip(-1)):
        assert actor_loss(other, Q, 0.5) > loss


def test_masked_actions_have_no_probability_no_part_and_no_gradient() -> None:
    logits = torch.tensor([[0.3, 9.0, -0.2]], requires_grad=True)
    mask = torch.tensor([True, False, True])
    log_p = log_probabilities(logits, mask)
    assert log_p.exp()[0, 1].item() == 0.0
    q = torch.tensor([[1.0, 1e6, 2.0]])
    loss = actor_loss(log_p, q, 0.7)
    alone = log_probabilities(torch.tensor([[0.3, -0.2]]), torch.ones(2, dtype=torch.bool))
    assert loss.item() == pytest.approx(actor_loss(alone, q[:, [0, 2]], 0.7).item())
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope[0, 1].item() == 0.0
    assert torch.isfinite(slope).all()
    assert slope[0, 0].item() != 0.0


def test_the_temperature_rises_while_there_is_too_little_entropy() -> None:
    log_temperature = torch.tensor(0.0, requires_grad=True)
    loss = temperature_loss(log_temperature, torch.tensor([0.2, 0.4]), 1.0)
    (slope,) = torch.autograd.grad(loss, log_temperature)
    assert slope.item() == pytest.approx(0.3 - 1.0)  # descent: it grows
    (slope,) = torch.autograd.grad(temperature_loss(log_temperature, torch.tensor([1.5]), 1.0), log_temperature)
    assert slope.item() == pytest.approx(0.5)


def test_targets_follow() -> None:
    slow, fast = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, -2.0])]
    follow(slow, fast, 0.25)
    assert slow[0].tolist() == [1.5, 1.0]
    assert fast[0].tolist() == [3.0, -2.0]
    follow(slow, fast, 1.0)
    assert slow[0].tolist() == [3.0, -2.0]
