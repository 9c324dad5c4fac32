"""The goal-conditioned visual encoder: one fusion token reads both cameras' tokens and the instruction.

A post-norm `nn.TransformerEncoder` as published (FLaRe allenact_dino_transformer.py). Only the fusion token is read
afterwards, so the last layer is computed for it alone: the same numbers for a third of the work.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        y = attend_from_first(layer.self_attn, x, padding)
        y = layer.norm1(x[:, 0] + layer.dropout1(y))
        feed = layer.linear2(layer.dropout(torch.relu(layer.linear1(y))))
        out: Tensor = layer.norm2(y + layer.dropout2(feed))
        return out


def attend_from_first(attention: nn.MultiheadAttention, x: Tensor, padding: Tensor | None) -> Tensor:
    """Computes `attention` for the query of token 0 only: x (N, K, d), padding (N, K) True where absent -> (N, d).

    One query needs no keys and values of its own: q . (W_k x) = (W_k^T q) . x, and the weighted sum of W_v x is W_v of
    the weighted sum of x. This saves two matrix products per token. The keys' bias adds the same to every score of a
    query, so it falls out of the softmax.
    """
    heads = attention.num_heads
    query, key, value = attention.in_proj_weight.chunk(3)
    query_bias, _, value_bias = attention.in_proj_bias.chunk(3)
    q = torch.unflatten(functional.linear(x[:, 0], query, query_bias), 1, (heads, -1))  # (N, H, h)
    projected = torch.einsum("nhi,hij->nhj", q, torch.unflatten(key, 0, (heads, -1)))  # (N, H, d)
    scores = torch.einsum("nhj,nkj->nhk", projected, x).float() / math.sqrt(q.shape[-1])
    if padding is not None:
        scores = scores.masked_fill(padding[:, None], -torch.inf)
    weights = functional.dropout(scores.softmax(-1), attention.dropout, attention.training)
    seen = torch.einsum("nhk,nkj->nhj", weights.to(x.dtype), x)  # (N, H, d)
    y = torch.einsum("nhj,hij->nhi", seen, torch.unflatten(value, 0, (heads, -1)))
    y = y + weights.sum(-1, keepdim=True) * torch.unflatten(value_bias, 0, (heads, -1))
    out: Tensor = attention.out_proj(y.flatten(1))
    return out
