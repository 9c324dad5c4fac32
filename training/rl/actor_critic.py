"""Actor and critics: separate networks that start from the same clone; PPO's critic, and SAC's two.

FLaRe: one network with two heads loses the cloned behaviour as soon as the untrained value head's gradients reach it;
two networks do not. The image encoder is frozen and belongs to neither: both take its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.data.packing import Batch, Instructions
from training.models.spoc import SpocPolicy

IMAGES, WORDS = "image_encoder.", "text_encoder."


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
        self.eval()  # no dropout: the policy that is trained is the one that acted

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
        """Returns the parameters that the policy loss trains."""
        return [parameter for parameter in self.actor.parameters() if parameter.requires_grad]

    def critic_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that the value loss trains, except those in the actor's list."""
        bodies: Iterator[nn.Parameter] = iter(()) if self.critic is None else self.critic.parameters()
        return [parameter for parameter in (*bodies, *self.value.parameters()) if parameter.requires_grad]


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


def new_head(width: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Makes a layer whose outputs are nearly 0 at first."""
    made = nn.Linear(width, outputs)
    nn.init.normal_(made.weight, std=0.01, generator=generator)
    nn.init.zeros_(made.bias)
    return made


def without_images(network: SpocPolicy) -> SpocPolicy:
    """Removes the frozen image encoder and the actor's head, which a critic does not need; returns the network."""
    network.image_encoder, network.actor = nn.Identity(), nn.Identity()  # type: ignore[assignment]  # never called
    return network


def states(network: SpocPolicy, batch: Batch, instructions: Instructions) -> Tensor:
    """Computes the decoder's outputs (B, T, d) of a batch."""
    text = instructions.text(network, batch.instruction.flatten())
    return network.states(batch.tokens, text, batch.previous, batch.state, batch.step, batch.trajectory)


def unfused_attention(device: torch.device) -> AbstractContextManager[None]:
    """Selects unfused attention on a CPU: with the fused one's backward pass an update takes 15 % longer."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def trained_weights(policy: SpocPolicy) -> dict[str, Tensor]:
    """Returns the weights that training changes: all but the frozen encoders'."""
    return {name: value for name, value in policy.state_dict().items() if not name.startswith(_frozen(policy))}


def frozen_weights(policy: SpocPolicy) -> dict[str, Tensor]:
    """Returns the weights of the frozen encoders: of images, and of words unless they are a table that is trained."""
    return {name: value for name, value in policy.state_dict().items() if name.startswith(_frozen(policy))}


def _frozen(policy: SpocPolicy) -> tuple[str, ...]:
    return (IMAGES,) if policy.config.text.kind == "words" else (IMAGES, WORDS)
