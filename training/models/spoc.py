"""The SPOC/FLaRe network: images of two cameras and an instruction to logits of 20 actions, with an episode memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.models.config import PolicyConfig
from training.models.decoder import CausalDecoder, Words
from training.models.fusion import Fusion
from training.models.image_encoder import image_encoder
from training.models.text_encoder import text_encoder


@dataclass(frozen=True)
class Text:
    """Encoded instructions: features (E, L, D) and which tokens are present, (E, L) bool; None when all are."""

    features: Tensor
    present: Tensor | None = None

    def pick(self, episode: Tensor) -> Text:
        """The instructions of (N,) episode numbers."""
        return Text(self.features[episode], None if self.present is None else self.present[episode])


class Adapter(nn.Sequential):
    """Linear, LayerNorm, ReLU (FLaRe allenact_dino_transformer.py)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU())


class VisualTokens(nn.Module):
    """Both cameras' frozen features -> tokens of the fusion transformer, and optionally a summary of them.

    1 x 1 convolutions on a grid are linear maps of its tokens. `mini` adds three things to SPOC's network, because one
    fusion layer is what two CPU cores can train: a gate from the instruction, a position per cell, and the summary.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        width, cells = config.width, config.image.tokens * len(config.cameras)
        self.compressor = nn.Sequential(
            nn.Linear(config.image.token_width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.adapter = Adapter(width, width)
        self.camera = nn.Parameter(torch.randn(len(config.cameras), width) * 0.1)
        self.position = nn.Parameter(torch.randn(config.image.tokens, width) * 0.1) if config.grid_position else None
        self.gate = nn.Linear(width, width) if config.goal_gate else None
        self.summary = _Summary(width, config.summary, cells) if config.summary else None

    def forward(self, tokens: Tensor, goal: Tensor) -> tuple[Tensor, Tensor | None]:
        """tokens (N, cameras, K, C), goal (N, d) -> (N, cameras * K, d) and the summary (N, d) or None."""
        x = self.compressor(tokens)
        if self.gate is not None:
            x = x * (1 + self.gate(goal)[:, None, None])
        x = self.adapter(x)
        summary = None if self.summary is None else self.summary(x)
        place = self.camera[:, None] if self.position is None else self.camera[:, None] + self.position
        return (x + place.to(x.dtype)).flatten(1, 2), summary


class _Summary(nn.Module):
    """A few channels of every cell, in order, through one linear map."""

    def __init__(self, width: int, channels: int, cells: int) -> None:
        super().__init__()
        self.channels = nn.Linear(width, channels)
        self.mix = nn.Linear(channels * cells, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cameras, K, d) -> (N, d)."""
        out: Tensor = self.mix(torch.relu(self.channels(x)).flatten(1))
        return out


class SpocPolicy(nn.Module):
    """One class for both sizes. `vocabulary` is the tokenizer's size (for a word table)."""

    def __init__(self, config: PolicyConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = image_encoder(config.image)
        self.text_encoder = text_encoder(config.text, vocabulary)
        self.visual = VisualTokens(config)
        self.text_adapter = Adapter(config.text.width, config.width)
        self.fusion = Fusion(config.width, config.fusion_layers, config.fusion_heads, config.fusion_ffn, config.dropout)
        self.previous_action = nn.Embedding(config.previous_tokens, config.width)
        self.in_hand = nn.Embedding(3, config.width)
        self.decoder = CausalDecoder(
            config.width, config.decoder_layers, config.decoder_heads, config.decoder_ffn, config.decoder
        )
        self.actor = nn.Linear(config.width, len(config.spec().actions.names))  # type: ignore[union-attr]  # discrete

    def train(self, mode: bool = True) -> SpocPolicy:
        """Sets the training mode, except for the frozen encoders, which stay in evaluation mode."""
        super().train(mode)
        self.image_encoder.eval()
        return self

    @property
    def heads(self) -> tuple[int, int, int]:
        """Decoder layers, heads, and size of a head: the shape of the key-value cache."""
        config = self.config
        return config.decoder_layers, config.decoder_heads, config.width // config.decoder_heads

    def text(self, token_ids: Tensor, present: Tensor | None = None) -> Text:
        """Encodes (E, L) token ids."""
        return Text(self.text_encoder(token_ids, present), present)

    def images(self, *cameras: Tensor) -> Tensor:
        """Frozen features of one (N, H, W, 3) uint8 batch per camera -> (N, cameras, K, C)."""
        tokens: Tensor = self.image_encoder(torch.cat(cameras))
        out: Tensor = torch.unflatten(tokens, 0, (len(cameras), -1)).transpose(0, 1)
        return out

    def fuse(self, tokens: Tensor, text: Text, previous: Tensor, state: Tensor, step: Tensor) -> Tensor:
        """One vector per observation: (N, cameras, K, C), text of N, (N,) int, (N, 1) float, (N,) int -> (N, d)."""
        words = self.text_adapter(text.features)
        goal = _mean(words, text.present)
        visual, summary = self.visual(tokens, goal)
        x: Tensor = self.fusion(torch.cat([visual, words], dim=1), summary, self._padding(visual, text.present))
        x = x + self.previous_action(previous) + self.in_hand(state[:, 0].round().long().clamp(0, 2))
        return x + time_encoding(step, self.config.width)

    def sequence(
        self, tokens: Tensor, text: Text, previous: Tensor, state: Tensor, step: Tensor, trajectory: Tensor
    ) -> Tensor:
        """Logits (B, T, A) of packed rows; the arguments are those of `states`."""
        out: Tensor = self.actor(self.states(tokens, text, previous, state, step, trajectory))
        return out

    def states(
        self, tokens: Tensor, text: Text, previous: Tensor, state: Tensor, step: Tensor, trajectory: Tensor
    ) -> Tensor:
        """The decoder's outputs (B, T, d) of packed rows.

        tokens (B, T, cameras, K, C); previous, step, trajectory (B, T); state (B, T, 1).
        `text` is of every step in order, B * T of them. Steps of one trajectory see each other causally. Nothing is
        worked out of the places that hold no step (trajectory -1); what comes out of these is no use.
        """
        real = (trajectory.flatten() >= 0).nonzero()[:, 0]
        every = (tokens.flatten(0, 1), previous.flatten(), state.flatten(0, 1), step.flatten())
        images, before, held, number = (values[real] for values in every)
        seen = self.fuse(images, text.pick(real), before, held, number)
        x = seen.new_zeros(trajectory.numel(), self.config.width).index_copy(0, real, seen)
        return self.decoder.sequence(torch.unflatten(x, 0, trajectory.shape), trajectory, self._words(text))

    def step(
        self,
        tokens: Tensor,
        text: Text,
        previous: Tensor,
        state: Tensor,
        step: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs one step of N episodes: logits (N, A) and the new cache; cache and mask as in `CausalDecoder.step`."""
        x = self.fuse(tokens, text, previous, state, step)
        x, keys, values = self.decoder.step(x[:, None], keys, values, mask, self._words(text))
        return self.actor(x[:, 0]), keys, values

    def _words(self, text: Text) -> Words | None:
        """Text inputs of the decoder's layers."""
        return (self.text_adapter(text.features), text.present) if self.config.decoder == "cross" else None

    @staticmethod
    def _padding(visual: Tensor, present: Tensor | None) -> Tensor | None:
        if present is None:
            return None
        return torch.cat([torch.zeros(visual.shape[:2], dtype=torch.bool, device=visual.device), ~present], dim=1)


def _mean(words: Tensor, present: Tensor | None) -> Tensor:
    if present is None:
        return words.mean(1)
    weight = present.unsqueeze(-1).to(words.dtype)
    return (words * weight).sum(1) / weight.sum(1)


def time_encoding(step: Tensor, width: int) -> Tensor:
    """Sinusoidal encoding of integer steps, (N,) -> (N, width), base 10000 (Vaswani et al. 2017, section 3.5)."""
    exponent = torch.arange(0, width, 2, device=step.device, dtype=torch.float32) * (-math.log(10_000.0) / width)
    angle = step.to(torch.float32)[:, None] * torch.exp(exponent)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
