"""The vision-language-action policy: one image and an instruction in, logits of a chunk of action tokens out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from training.errors import ConfigError
from training.vla.policy.action_tokenizer import ActionTokenizer
from training.vla.policy.compute_options import Precision
from training.vla.policy.config import PADDING, VlaConfig
from training.vla.policy.conv_network import ConvNetwork


class VlaNetwork(Protocol):
    """What makes logits: an `nn.Module` that is made from a `VlaConfig` and entered in `NETWORKS`."""

    def __call__(self, images: Tensor, words: Tensor, proprio: Tensor) -> Tensor:
        """Computes logits of all tokens of a chunk in one pass.

        Args:
            images: (B, S, S, 3) uint8 RGB.
            words: (B, L) int64, ids of the instruction's words or tokens, padded with `PADDING`.
            proprio: (B, P) in [-1, 1]; unused where the configuration has none.

        Returns:
            (B, chunk, D, bins).
        """


def _token_network(config: VlaConfig) -> nn.Module:
    from training.vla.policy.token_network import TokenNetwork  # transformers takes seconds to import

    return TokenNetwork(config)


NETWORKS: Mapping[str, Callable[[VlaConfig], nn.Module]] = MappingProxyType(
    {"conv": ConvNetwork, "tokens": _token_network}
)
"""Kinds of networks by name."""


class VlaPolicy(nn.Module):
    """A network with the tokenizer of its actions and the table of its words.

    Attributes:
        precision: of its computation, see `ComputeOptions`; not of its configuration: it is exported in float32.
        sharded: whether this rank holds but a part of its weights.

    Raises:
        ConfigError: the kind of network is unknown, or its sizes contradict each other.
    """

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        if config.network not in NETWORKS:
            raise ConfigError("network", repr(config.network), f"one of {', '.join(NETWORKS)}")
        self.config, self.tokenizer = config, ActionTokenizer(config.actions, config.bins, config.gripper_opens)
        self.network = NETWORKS[config.network](config)
        self.precision: Precision = "fp32"
        self.sharded = False

    def forward(self, images: Tensor, words: Tensor, proprio: Tensor) -> Tensor:
        """See `VlaNetwork`; in `precision`, with logits in float32 either way."""
        if self.precision == "fp32":
            logits: Tensor = self.network(images, words, proprio)
            return logits
        with torch.autocast(images.device.type, torch.bfloat16):
            logits = functional_call(self.network, self._rounded(), (images, words, proprio))
        return logits.float()

    def _rounded(self) -> dict[str, Tensor]:
        """Weights in bfloat16, with gradients in float32; none where FSDP rounds them itself, layer by layer."""
        return {} if self.sharded else {name: one.bfloat16() for name, one in self.network.named_parameters()}

    def words(self, instructions: Sequence[str]) -> Tensor:
        """Encodes instructions, (B, L) int64."""
        ids = [self.config.word_ids(text) for text in instructions]
        words = torch.full((len(ids), max(1, *map(len, ids))), PADDING, dtype=torch.int64)
        for row, of_text in zip(words, ids):
            row[: len(of_text)] = torch.tensor(of_text, dtype=torch.int64)
        return words

    def proprio(self, values: npt.ArrayLike) -> Tensor:
        """Scales proprioception (B, P) for the network; (B, 0) where the policy does not see it."""
        statistics = self.config.proprio
        if statistics is None:
            return torch.zeros(len(np.asarray(values)), 0)
        return torch.from_numpy(statistics.normalise(values))


def new_vla(config: VlaConfig, seed: int = 0) -> VlaPolicy:
    """Makes an untrained policy."""
    torch.manual_seed(seed)
    return VlaPolicy(config)
