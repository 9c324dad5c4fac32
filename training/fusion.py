"""The goal-conditioned visual encoder: one fusion token reads both cameras' tokens and the instruction.

A post-norm `nn.TransformerEncoder` as published (FLaRe allenact_dino_transformer.py). Only the fusion token is read
afterwards, so the last layer is computed for it alone: the same numbers for a third of the work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fusion(nn.Module):
    """A learned fusion token and a transformer encoder."""

    def __init__(self, width: int, layers: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, ffn, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.token = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.token, std=0.1)

    def forward(self, tokens: Tensor, summary: Tensor | None, padding: Tensor | None) -> Tensor:
        """tokens (N, K, d), summary (N, d) added to the fusion token, padding (N, K) True where absent -> (N, d)."""
        first = self.token.expand(len(tokens), 1, -1)
        if summary is not None:
            first = first + summary[:, None]
        x = torch.cat([first, tokens], dim=1)
        if padding is not None:
            padding = torch.cat([torch.zeros_like(padding[:, :1]), padding], dim=1)
        for layer in self.encoder.layers[:-1]:
            x = layer(x, src_key_padding_mask=padding)
        return self._last(x, padding)

    def _last(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """`nn.TransformerEncoderLayer.forward` (post-norm) for token 0 alone."""
        layer = self.encoder.layers[-1]
        y, _ = layer.self_attn(x[:, :1], x, x, key_padding_mask=padding, need_weights=False)
        y = layer.norm1(x[:, :1] + layer.dropout1(y))
        feed = layer.linear2(layer.dropout(torch.relu(layer.linear1(y))))
        out: Tensor = layer.norm2(y + layer.dropout2(feed))
        return out[:, 0]
