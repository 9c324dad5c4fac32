"""Actor and critic: two whole networks that start from the same clone and share nothing.

FLaRe: one network with two heads forgets what it was cloned for as soon as the untrained value head's gradients reach
it; two networks do not. The image encoder is frozen and belongs to neither: both are given its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from training.data.packing import Batch, Instructions
from training.models.spoc import SpocPolicy

FROZEN = "image_encoder."


class ActorCritic(nn.Module):
    """A policy and a value for each step of packed episodes.

    Args:
        clone: the policy to start from; it becomes the actor.
        shared: one network with two heads instead of two networks (one of FLaRe's ablations, which collapses).
        seed: of the value head.
    """

    def __init__(self, clone: SpocPolicy, *, shared: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.actor, self.shared = clone, shared
        self.critic = None if shared else without_images(deepcopy(clone))
        self.value = new_head(clone.config.width, 1, torch.Generator().manual_seed(seed))
        self.eval()  # no dropout: the policy that learns is the one that played

    def logits(self, batch: Batch, instructions: Instructions) -> Tensor:
        """The actor's logits (B, T, A), float32."""
        out: Tensor = self.actor.actor(states(self.actor, batch, instructions)).float()
        return out

    def values(self, batch: Batch, instructions: Instructions) -> Tensor:
        """The critic's values (B, T), float32."""
        body = self.actor if self.critic is None else self.critic
        out: Tensor = self.value(states(body, batch, instructions)).float()
        return out[..., 0]

    def both(self, batch: Batch, instructions: Instructions) -> tuple[Tensor, Tensor]:
        """Logits and values; a shared network is run once."""
        if self.critic is not None:
            return self.logits(batch, instructions), self.values(batch, instructions)
        out = states(self.actor, batch, instructions)
        return self.actor.actor(out).float(), self.value(out).float()[..., 0]

    def actor_parameters(self) -> list[nn.Parameter]:
        """What the policy's loss trains."""
        return [one for one in self.actor.parameters() if one.requires_grad]

    def critic_parameters(self) -> list[nn.Parameter]:
        """What the value's loss trains, without what the actor's list has."""
        bodies: Iterator[nn.Parameter] = iter(()) if self.critic is None else self.critic.parameters()
        return [one for one in (*bodies, *self.value.parameters()) if one.requires_grad]


def new_head(width: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A layer whose outputs are nearly 0 at first."""
    made = nn.Linear(width, outputs)
    nn.init.normal_(made.weight, std=0.01, generator=generator)
    nn.init.zeros_(made.bias)
    return made


def without_images(network: SpocPolicy) -> SpocPolicy:
    """The network itself, without what a critic does not need: the frozen image encoder and the actor's head."""
    network.image_encoder, network.actor = nn.Identity(), nn.Identity()  # type: ignore[assignment]  # never called
    return network


def states(network: SpocPolicy, batch: Batch, instructions: Instructions) -> Tensor:
    """The decoder's outputs (B, T, d) of a batch."""
    text = instructions.text(network, batch.instruction.flatten())
    return network.states(batch.tokens, text, batch.previous, batch.state, batch.step, batch.trajectory)


def trained_weights(policy: SpocPolicy) -> dict[str, Tensor]:
    """The weights that training changes: all but the frozen image encoder's."""
    return {name: one for name, one in policy.state_dict().items() if not name.startswith(FROZEN)}
