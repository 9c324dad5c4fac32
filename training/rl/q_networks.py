"""The critics of soft actor-critic: two whole networks from the clone, each with a value per action."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from training.data.packing import Batch, Instructions
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import new_head, states, without_images


class TwinQ(nn.Module):
    """Action values of packed episodes, twice.

    Args:
        clone: both networks start from it; it is not changed.
        seed: of the heads, which are new and differ.
    """

    def __init__(self, clone: SpocPolicy, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.bodies = nn.ModuleList(without_images(deepcopy(clone)) for _ in range(2))
        actions = clone.actor.out_features
        self.heads = nn.ModuleList(new_head(clone.config.width, actions, generator) for _ in range(2))
        self.eval()  # no dropout, as for PPO

    def forward(self, batch: Batch, instructions: Instructions) -> Tensor:
        """Values (2, B, T, A), float32."""
        pairs = zip(self.bodies, self.heads, strict=True)
        return torch.stack([head(states(body, batch, instructions)).float() for body, head in pairs])  # type: ignore[arg-type]
