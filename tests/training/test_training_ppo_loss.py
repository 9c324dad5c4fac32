"""PPO's losses against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.rl.ppo_loss import (
    clip_fraction,
    clipped_surrogate,
    entropy,
    explained_variance,
    gae,
    kl_estimate,
    log_probabilities,
    of_actions,
    value_loss,
)

REWARDS, VALUES = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.6, 0.7])


def log(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_gae_of_an_episode_that_ended() -> None:
    # gamma = lambda = 1/2. Errors: 0 + .3 - .5 = -.2; 0 + .35 - .6 = -.25; 1 + 0 - .7 = .3.
    # Backwards with 1/4: .3; -.25 + .075 = -.175; -.2 - .04375 = -.24375.
    assert gae(REWARDS, VALUES, 0.0, 0.5, 0.5) == pytest.approx([-0.24375, -0.175, 0.3])


def test_gae_of_an_episode_that_was_cut_off_goes_on_with_the_critics_value() -> None:
    # The last error is 0 + .5 * .8 - .7 = -.3; then -.25 - .075 = -.325; -.2 - .08125 = -.28125.
    assert gae(np.zeros(3), VALUES, 0.8, 0.5, 0.5) == pytest.approx([-0.28125, -0.325, -0.3])


def test_a_timeout_is_no_failure() -> None:
    ended, cut = (gae(np.zeros(3), VALUES, bootstrap, 0.99, 0.95) for bootstrap in (0.0, 0.7))
    assert (cut > ended).all()
    assert cut[-1] == pytest.approx(0.99 * 0.7 - 0.7)
    assert ended[-1] == pytest.approx(-0.7)


@given(hnp.arrays(np.float64, 6, elements=st.floats(-5, 5)), st.floats(-5, 5), st.floats(0.1, 1.0))
def test_with_lambda_1_an_advantage_is_the_discounted_return_less_the_value(
    values: np.ndarray, bootstrap: float, gamma: float
) -> None:
    rewards = np.array([0.0, 1.0, -2.0, 0.0, 3.0, 0.5])
    total, expected = bootstrap, []
    for reward, value in zip(rewards[::-1], values[::-1]):
        total = reward + gamma * total
        expected.append(total - value)
    assert gae(rewards, values, bootstrap, gamma, 1.0) == pytest.approx(expected[::-1], abs=1e-9)


def test_with_lambda_0_an_advantage_is_one_error() -> None:
    assert gae(REWARDS, VALUES, 0.0, 0.9, 0.0) == pytest.approx([0.04, 0.03, 0.3])


def test_the_surrogate_is_clipped_only_where_that_makes_it_smaller() -> None:
    # ratios 2, 2, 1/2, 1/2 with advantages 1, -1, 1, -1 and a clip of .1: 1.1, -2, .5, -.9; minus the mean is .325.
    old = log(0.25, 0.25, 0.5, 0.5)
    new = log(0.5, 0.5, 0.25, 0.25).requires_grad_()
    loss = clipped_surrogate(new, old, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.1)
    assert loss.item() == pytest.approx(0.325)
    (gradient,) = torch.autograd.grad(loss, new)
    assert gradient.tolist() == pytest.approx([0.0, 0.5, -0.125, 0.0])  # - ratio x advantage / 4 where not clipped


def test_at_the_old_policy_the_surrogates_gradient_is_the_policy_gradient() -> None:
    old, advantages = log(0.2, 0.7), torch.tensor([3.0, -5.0])
    new = old.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(clipped_surrogate(new, old, advantages, 0.1), new)
    assert gradient.tolist() == pytest.approx([-1.5, 2.5])


def test_advantages_are_not_normalised() -> None:
    old = log(0.5, 0.5)
    assert clipped_surrogate(old, old, torch.tensor([10.0, 30.0]), 0.1).item() == pytest.approx(-20.0)


def test_a_clipped_value_loss_takes_the_worse_of_both() -> None:
    """From 1.0, a clip of 0.5: 1.2 counts as it is; 3.0, too far, as 1.5, which is further from 2.5; 0.0 as 0.5."""
    values, returns = torch.tensor([1.2, 3.0, 0.0]), torch.tensor([2.0, 2.5, 0.0])
    loss = value_loss(values, returns, torch.ones(3), 0.5)
    assert loss.item() == pytest.approx(0.5 * (0.8**2 + 1.0**2 + 0.5**2) / 3)
    assert value_loss(values, returns, torch.ones(3)).item() == pytest.approx(0.5 * (0.8**2 + 0.5**2) / 3)


def test_value_loss_is_half_the_mean_squared_error() -> None:
    assert value_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])).item() == pytest.approx(3.25)


def test_masked_actions_have_no_probability_and_no_gradient() -> None:
    logits = torch.tensor([[2.0, 50.0, 1.0], [0.0, -3.0, 0.5]], requires_grad=True)
    mask = torch.tensor([True, False, True])
    log_p = log_probabilities(logits, mask)
    assert (log_p.exp()[:, 1] == 0.0).all()
    assert log_p.exp().sum(-1).tolist() == pytest.approx([1.0, 1.0])
    chosen = of_actions(log_p, torch.tensor([0, 2]))
    assert chosen[0].item() == pytest.approx(-math.log1p(math.exp(-1.0)))
    loss = clipped_surrogate(chosen, chosen.detach(), torch.tensor([1.0, -2.0]), 0.1) - 0.1 * entropy(log_p)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, 1] == 0.0).all()
    assert (gradient[:, [0, 2]] != 0.0).all()


def test_entropy() -> None:
    uniform, certain = log_probabilities(torch.zeros(1, 4), torch.ones(4, dtype=torch.bool)), log(1.0, 0.0)[None]
    assert entropy(uniform).item() == pytest.approx(math.log(4))
    assert entropy(certain).item() == 0.0
    masked = log_probabilities(torch.zeros(1, 4), torch.tensor([True, True, False, False]))
    assert entropy(masked).item() == pytest.approx(math.log(2))


def test_kl_estimate_is_zero_for_the_same_policy_and_never_negative() -> None:
    old = log(0.5, 0.1)
    assert kl_estimate(old, old).item() == 0.0
    # ratios 1/2 and 2: 1/2 - 1 + log 2, and 2 - 1 - log 2; their mean is 1/4
    assert kl_estimate(log(0.25, 0.2), old).item() == pytest.approx(0.25)


def test_the_kl_estimate_is_right_on_average() -> None:
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    drawn = np.random.default_rng(0).choice(3, 200_000, p=old)
    estimate = kl_estimate(torch.from_numpy(np.log(new[drawn])), torch.from_numpy(np.log(old[drawn])))
    assert estimate.item() == pytest.approx(float((old * np.log(old / new)).sum()), rel=0.03)


def test_clip_share() -> None:
    assert clip_fraction(log(0.5, 0.52, 0.6, 0.3), log(0.5, 0.5, 0.5, 0.5), 0.1).item() == pytest.approx(0.5)


def test_explained_variance() -> None:
    returns = np.array([0.0, 2.0, 4.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.ones(3), returns) == 0.0
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert math.isnan(explained_variance(np.ones(2), np.ones(2)))
