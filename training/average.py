"""A moving average of a policy's weights: what training leads to, without the noise of its last steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from training.actor_critic import trained_weights
from training.policy import SpocPolicy


class Average:
    """Polyak and Juditsky's averaging (1992), with exponential forgetting.

    Args:
        policy: whose weights.
        decay: what remains of the average after each update, in [0, 1); 0 is the policy itself.

    Attributes:
        weights: the averaged state dict, without the frozen image encoder.
    """

    def __init__(self, policy: SpocPolicy, decay: float) -> None:
        self.decay = decay
        self.weights = {name: one.detach().clone() for name, one in trained_weights(policy).items()}

    def update(self, policy: SpocPolicy) -> None:
        """Takes the policy's weights in."""
        with torch.no_grad():
            for name, one in trained_weights(policy).items():
                kept = self.weights[name]
                kept.lerp_(one, 1.0 - self.decay) if kept.is_floating_point() else kept.copy_(one)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Goes on from an average that was stored."""
        for name, one in self.weights.items():
            one.copy_(weights[name])
