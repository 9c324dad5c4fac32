"""ACT (Zhao et al. 2023) as LeRobot builds it: a ResNet per image, a transformer, a chunk of actions.

Only what an answer needs: the latent of the variational auto-encoder is zero, so that its encoder is not here. The
modules have LeRobot's names, so that its parameters fit as they are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.lerobot.config import ActConfig
from training.lerobot.resnet import WIDTHS, FrozenNorm, stages

TEMPERATURE = 10_000.0
"""Ratio of the longest wave of the positions to the shortest."""


class _Layer(nn.Module):
    """Attention and two linear layers, each with a shortcut, normalised before or after."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        width = config.dim_model
        self.self_attn = nn.MultiheadAttention(width, config.n_heads, batch_first=True)
        self.linear1 = nn.Linear(width, config.dim_feedforward)
        self.linear2 = nn.Linear(config.dim_feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.pre_norm = config.pre_norm
        self.activation = nn.GELU() if config.feedforward_activation == "gelu" else nn.ReLU()

    def _attend(self, tokens: Tensor, positions: Tensor) -> Tensor:
        inner = self.norm1(tokens) if self.pre_norm else tokens
        asked = inner + positions
        tokens = tokens + self.self_attn(asked, asked, inner, need_weights=False)[0]
        return tokens if self.pre_norm else self.norm1(tokens)

    def _feed(self, tokens: Tensor, norm: nn.Module) -> Tensor:
        inner = norm(tokens) if self.pre_norm else tokens
        tokens = tokens + self.linear2(self.activation(self.linear1(inner)))
        return tokens if self.pre_norm else norm(tokens)


class EncoderLayer(_Layer):
    """Attends among the tokens of the observation."""

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(1, S, D) -> (1, S, D)."""
        return self._feed(self._attend(tokens, positions), self.norm2)


class DecoderLayer(_Layer):
    """Attends among the rows of the chunk, then to the observation."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__(config)
        self.multihead_attn = nn.MultiheadAttention(config.dim_model, config.n_heads, batch_first=True)
        self.norm3 = nn.LayerNorm(config.dim_model)

    def forward(self, rows: Tensor, row_positions: Tensor, seen: Tensor, seen_positions: Tensor) -> Tensor:
        """(1, rows, D) -> (1, rows, D)."""
        rows = self._attend(rows, row_positions)
        inner = self.norm2(rows) if self.pre_norm else rows
        keys = seen + seen_positions
        rows = rows + self.multihead_attn(inner + row_positions, keys, seen, need_weights=False)[0]
        return self._feed(rows if self.pre_norm else self.norm2(rows), self.norm3)


class Encoder(nn.Module):
    """Layers, and a norm at the end where norms come first."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_encoder_layers))
        self.norm = nn.LayerNorm(config.dim_model) if config.pre_norm else nn.Identity()

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(1, S, D) -> (1, S, D)."""
        for layer in self.layers:
            tokens = layer(tokens, positions)
        normed: Tensor = self.norm(tokens)
        return normed


class Decoder(nn.Module):
    """Layers, and a norm at the end."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layers))
        self.norm = nn.LayerNorm(config.dim_model)

    def forward(self, row_positions: Tensor, seen: Tensor, seen_positions: Tensor) -> Tensor:
        """Returns rows (1, rows, D); they begin as zeros."""
        rows = torch.zeros_like(row_positions)
        for layer in self.layers:
            rows = layer(rows, row_positions, seen, seen_positions)
        normed: Tensor = self.norm(rows)
        return normed


class ActNetwork(nn.Module):
    """Normalised images and state in, a normalised chunk out."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        width = config.dim_model
        self.latent_dim = config.latent_dim
        self.backbone = nn.Sequential(OrderedDict(stages(config.vision_backbone, FrozenNorm)))
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.encoder_latent_input_proj = nn.Linear(config.latent_dim, width)
        self.encoder_robot_state_input_proj = nn.Linear(config.numbers, width)
        self.encoder_img_feat_input_proj = nn.Conv2d(WIDTHS[-1], width, 1)
        self.encoder_1d_feature_pos_embed = nn.Embedding(2, width)
        self.decoder_pos_embed = nn.Embedding(config.chunk_size, width)
        self.action_head = nn.Linear(width, config.action_numbers)

    def forward(self, images: Sequence[Tensor], state: Tensor) -> Tensor:
        """Images (1, 3, H, W) and state (1, n) -> (1, chunk_size, actions)."""
        latent = self.encoder_latent_input_proj(state.new_zeros(1, self.latent_dim))
        tokens = [latent[:, None], self.encoder_robot_state_input_proj(state)[:, None]]
        positions = [self.encoder_1d_feature_pos_embed.weight[None]]
        for image in images:
            features = self.encoder_img_feat_input_proj(self.backbone(image))
            tokens.append(features.flatten(2).transpose(1, 2))
            _, channels, height, width = features.shape
            positions.append(grid_positions(height, width, channels)[None])
        placed = torch.cat(positions, 1)
        seen = self.encoder(torch.cat(tokens, 1), placed)
        rows = self.decoder(self.decoder_pos_embed.weight[None], seen, placed)
        actions: Tensor = self.action_head(rows)
        return actions


def grid_positions(height: int, width: int, channels: int) -> Tensor:
    """Returns positions (height * width, channels): sines and cosines by turns, of the row first, of the column then.

    Rows and columns count from 1 and reach one turn at the last (LeRobot's `ACTSinusoidalPositionEmbedding2d`).
    """
    half = channels // 2
    waves = TEMPERATURE ** (2 * (torch.arange(half) // 2) / half)

    def along(count: int) -> Tensor:
        turns = torch.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi
        angles = turns[:, None] / waves
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), -1).flatten(1)

    rows = along(height)[:, None].expand(height, width, half)
    columns = along(width)[None].expand(height, width, half)
    return torch.cat((rows, columns), -1).flatten(0, 1)
