"""Proximal policy optimisation as pure functions (Schulman et al. 2017, arXiv:1707.06347).

Every function of steps takes flat tensors (n,), or (n, A) for logits; nothing is normalised (FLaRe:
`normalize_advantage=False`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float64]


def gae(rewards: Floats, values: Floats, bootstrap: float, gamma: float, gae_lambda: float) -> Floats:
    """Generalised advantage estimates (T,) of one episode (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    Args:
        rewards: (T,), of each action.
        values: (T,), the critic's, of the state before each action.
        bootstrap: value of the state after the last action: 0 where the episode terminated there, the critic's where
            it was truncated (Pardo et al. 2018, arXiv:1712.00378).
        gamma: discount.
        gae_lambda: decay of the sum over later steps.
    """
    next_values = np.append(values[1:], bootstrap)
    deltas = rewards + gamma * next_values - values  # delta_t = r_t + gamma V(s_t+1) - V(s_t)
    advantages, advantage = np.zeros(len(rewards)), 0.0
    for step in reversed(range(len(rewards))):
        advantage = deltas[step] + gamma * gae_lambda * advantage  # A_t = delta_t + gamma lambda A_t+1
        advantages[step] = advantage
    return advantages


def log_probabilities(logits: Tensor, mask: Tensor) -> Tensor:
    """Computes the log-softmax (..., A); -inf where `mask` (A,) is False, with no gradient to that logit."""
    return functional.log_softmax(logits.masked_fill(~mask, -torch.inf), dim=-1)


def of_actions(log_p: Tensor, actions: Tensor) -> Tensor:
    """Picks the log-probabilities (n,) of the chosen actions (n,) out of (n, A)."""
    return log_p.gather(-1, actions[:, None])[:, 0]


def clipped_surrogate(log_p: Tensor, old_log_p: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Policy loss, a scalar: minus the mean minimum of plain and clipped ratio x advantage (equation 7)."""
    ratio = torch.exp(log_p - old_log_p)
    limited = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio * advantages, limited * advantages).mean()


def value_loss(values: Tensor, returns: Tensor, before: Tensor | None = None, clip: float = 0.0) -> Tensor:
    """Critic loss, a scalar: half the mean squared error (FLaRe loss/customized_loss.py).

    With a `clip`, the larger error of the value and of the value clipped to within `clip` of the one `before` the
    update counts (PIRLNav, whose trainer is habitat-baselines' PPO).
    """
    errors = (values - returns).square()
    if clip and before is not None:
        limited = before + (values - before).clamp(-clip, clip)
        errors = torch.maximum(errors, (limited - returns).square())
    return 0.5 * errors.mean()


def entropy(log_p: Tensor) -> Tensor:
    """Mean entropy [nat] of distributions (n, A); a probability of 0 adds nothing."""
    finite = log_p.masked_fill(torch.isneginf(log_p), 0.0)
    return -(log_p.exp() * finite).sum(-1).mean()


def kl_estimate(log_p: Tensor, old_log_p: Tensor) -> Tensor:
    """Estimate of KL(old || new) [nat] from actions of the old policy: the mean of r - 1 - log r, never negative.

    John Schulman, "Approximating KL divergence" (2020), http://joschu.net/blog/kl-approx.html, the third estimator.
    """
    difference = log_p - old_log_p
    return (torch.expm1(difference) - difference).mean()


def clip_fraction(log_p: Tensor, old_log_p: Tensor, clip: float) -> Tensor:
    """Fraction of the steps whose probability ratio is outside the clipping range."""
    return ((torch.exp(log_p - old_log_p) - 1.0).abs() > clip).float().mean()


def explained_variance(values: Floats, returns: Floats) -> float:
    """1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 for a constant one; NaN for equal returns."""
    spread = float(np.var(returns))
    return 1.0 - float(np.var(returns - values)) / spread if spread > 0 else float("nan")
