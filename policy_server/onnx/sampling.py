"""Sampling of an action from masked logits."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from policy_server.policy import Sampling
from robots.spec import F32Vector

SAMPLINGS: tuple[str, ...] = get_args(Sampling)


def softmax(logits: F32Vector) -> npt.NDArray[np.float64]:
    """Returns the probabilities of `logits`, shape (n,); exactly zero where the logit is -inf."""
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(weights / weights.sum())


def choose(logits: F32Vector, sampling: Sampling, random: np.random.Generator) -> tuple[int, F32Vector]:
    """Returns the chosen action's index, and the probabilities of all actions, shape (n,).

    "greedy" takes the most probable action, "sample" draws from the probabilities, "uniform" draws uniformly from the
    unmasked actions (the random baseline).
    """
    probabilities = softmax(np.where(np.isfinite(logits), 0.0, logits) if sampling == "uniform" else logits)
    if sampling == "greedy":
        return int(probabilities.argmax()), probabilities.astype(np.float32)
    return int(random.choice(len(probabilities), p=probabilities)), probabilities.astype(np.float32)
