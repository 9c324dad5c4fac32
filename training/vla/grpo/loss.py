"""Group relative policy optimisation as pure functions (Shao et al. 2024, arXiv:2402.03300), as in SimpleVLA-RL.

SimpleVLA-RL (Li et al. 2025, arXiv:2509.09674, equations 9 to 12): rewards of 0 or 1, no critic, no KL term, one ratio
for each action token, a clipping range that is wider upwards, and groups with some but not only successes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-6
"""Added to the standard deviation of a group, as in the released code (core_algos.py)."""

AGGREGATIONS = ("trajectory", "token")


def is_mixed(successes: Sequence[bool]) -> bool:
    """Returns whether a group has successes and failures: only then does it tell the policy anything."""
    return 0 < sum(successes) < len(successes)


def group_advantages(rewards: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Computes (R - mean) / (std + 1e-6) of a group (G,), its standard deviation unbiased (n - 1) as in the code."""
    numbers = np.asarray(rewards, np.float64)
    advantages: npt.NDArray[np.float64] = (numbers - numbers.mean()) / (numbers.std(ddof=1) + EPSILON)
    return advantages


def token_log_p(logits: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Computes the log-probability of tokens (...) under logits (..., bins) / temperature, and the entropy (...) [nat].

    The temperature is that of sampling: a policy is trained as it acted.
    """
    every = functional.log_softmax(logits / temperature, dim=-1)
    return every.gather(-1, tokens[..., None])[..., 0], -(every.exp() * every).sum(-1)


def token_losses(
    log_p: Tensor, old_log_p: Tensor, advantages: Tensor, clip_low: float = 0.2, clip_high: float = 0.28
) -> Tensor:
    """Computes -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) for each token; all arguments of one shape."""
    ratio = torch.exp(log_p - old_log_p)
    return -torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages)


def clipped(log_p: Tensor, old_log_p: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """Marks the tokens whose clipped term is the smaller one: they have no gradient."""
    ratio = torch.exp(log_p - old_log_p)
    over, under = (ratio > 1.0 + clip_high) & (advantages > 0), (ratio < 1.0 - clip_low) & (advantages < 0)
    return over | under


def row_weights(executed: Tensor, owner: Tensor, aggregation: str, total: int | None = None) -> Tensor:
    """Weights (M, rows) of the actions of M chunks in a minibatch's mean; they add up to 1 over the minibatch.

    Args:
        executed: (M, rows) bool; the others come after the end and count nothing.
        owner: (M,) int64, trajectory of each chunk.
        aggregation: "trajectory": the mean over each trajectory's tokens, then over trajectories, so that each has the
            same weight (equation 11 of the paper, and its released code); "token": the mean over all tokens, so that
            long trajectories weigh more (DAPO, Yu et al. 2025, arXiv:2503.14476, and RLinf's recipe).
        total: of the minibatch, where these are not all of its chunks: see `minibatch_total`.
    """
    mask = executed.float()
    if aggregation == "token":
        return mask / (mask.sum() if total is None else total)
    own = mask.sum(1)
    lengths = torch.zeros(int(owner.max()) + 1, device=own.device).index_add(0, owner, own)
    return mask / (lengths[owner][:, None] * ((lengths > 0).sum() if total is None else total))


def minibatch_total(rows: npt.NDArray[np.int64], aggregation: str) -> int:
    """Returns what the weights of trajectories with so many executed rows are divided by: rows, or trajectories."""
    return int(rows.sum() if aggregation == "token" else (rows > 0).sum())
