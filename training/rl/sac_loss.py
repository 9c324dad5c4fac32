"""Soft actor-critic for discrete actions as pure functions (Christodoulou 2019, arXiv:1910.07207).

Every function of steps takes flat tensors (n,), or (n, A) for log-probabilities and action values. With discrete
actions every expectation over actions is a sum, so nothing is sampled. A masked action has log-probability -inf: it has
no part in any sum and gets no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def expected(log_p: Tensor, values: Tensor) -> Tensor:
    """Expectation of `values` (n, A) over the actions' probabilities: (n,); masked actions do not count."""
    return (log_p.exp() * values.masked_fill(torch.isneginf(log_p), 0.0)).sum(-1)


def entropies(log_p: Tensor) -> Tensor:
    """Entropy [nat] of each of the distributions (n, A): (n,)."""
    return -expected(log_p, log_p)


def soft_values(log_p: Tensor, q: Tensor, temperature: Tensor | float) -> Tensor:
    """Soft value of states (n,): the mean of q - temperature x log p over actions (equation 10)."""
    return expected(log_p, q) + temperature * entropies(log_p)


def targets(rewards: Tensor, following: Tensor, ended: Tensor, gamma: float) -> Tensor:
    """Computes the targets of q of the taken actions, (n,): reward + gamma x soft value of the next state (equation 3).

    Args:
        rewards: (n,).
        following: (n,) soft values of the states after the actions, from the target networks.
        ended: (n,) bool, whether the episode ended there: nothing follows then. One that was cut off did not end.
        gamma: discount.
    """
    return rewards + gamma * following.masked_fill(ended, 0.0)


def q_loss(q: Tensor, actions: Tensor, wanted: Tensor) -> Tensor:
    """Critic loss, a scalar: half the mean squared error of the taken actions' values (equation 4)."""
    return 0.5 * (q.gather(-1, actions[:, None])[:, 0] - wanted).square().mean()


def actor_loss(log_p: Tensor, q: Tensor, temperature: Tensor | float) -> Tensor:
    """Policy loss, a scalar: minus the mean soft value (equation 12); `q` is the minimum of both critics."""
    return -soft_values(log_p, q, temperature).mean()


def temperature_loss(log_temperature: Tensor, entropy: Tensor, wanted: float) -> Tensor:
    """Temperature loss, a scalar: the temperature grows while the mean `entropy` is below `wanted` (equation 11).

    Uses the temperature's logarithm instead of the temperature, as the paper's code does.
    """
    return log_temperature * (entropy.detach().mean() - wanted)


def follow(slow: Iterable[Tensor], fast: Iterable[Tensor], tau: float) -> None:
    """Updates target weights in place: slow += tau x (fast - slow)."""
    with torch.no_grad():
        for target, trained in zip(slow, fast, strict=True):
            target.lerp_(trained, tau)
