"""The causal decoder: pre-norm, RMSNorm, SwiGLU, no biases, no rotary encoding, with a key-value cache.

Written from the mathematics: RMSNorm, Zhang and Sennrich 2019 (arXiv:1910.07467); SwiGLU, Shazeer 2020
(arXiv:2002.05202); the arrangement of Touvron et al. 2023 (arXiv:2302.13971) without its rotary encoding, since time
is an embedding that is added to the input. Keys and values carry no position, so the order of cached steps does not
matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-5  # FLaRe training/online/third_party_models/llama/model.py ModelArgs.norm_eps


class RMSNorm(nn.Module):
    """Scales each vector to root mean square 1, then by a learned weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS) * self.weight


class SwiGLU(nn.Module):
    """W2 (silu(W1 x) * W3 x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        out: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class CausalAttention(nn.Module):
    """Multi-head attention over the cached steps and the new ones."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, d), mask (B, 1, T, P + T) bool or None, past two of (B, H, P, h) -> y, keys and values.

        y is (B, T, d), keys and values are (B, H, P + T, h).
        """
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2)), key, value

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, self.size)).transpose(1, 2)  # (B, H, T, h)


class DecoderLayer(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(width), CausalAttention(width, heads)
        self.feed_norm, self.feed = RMSNorm(width), SwiGLU(width, hidden)

    def forward(
        self, x: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `CausalAttention.forward`."""
        y, key, value = self.attention(self.attention_norm(x), mask, past)
        x = x + y
        return x + self.feed(self.feed_norm(x)), key, value


class CausalDecoder(nn.Module):
    """Layers, a last RMSNorm, and a linear map without bias."""

    def __init__(self, width: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, hidden) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.out = nn.Linear(width, width, bias=False)
        self.apply(_initialise)

    def sequence(self, x: Tensor, trajectory: Tensor) -> Tensor:
        """Whole rows of steps, several episodes in a row: (B, T, d), trajectory (B, T) int -> (B, T, d).

        A step sees the steps before it of the same trajectory index, and itself.
        """
        mask = block_causal_mask(trajectory)
        for layer in self.layers:
            x, _, _ = layer(x, mask, None)
        out: Tensor = self.out(self.norm(x))
        return out

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of each of B episodes.

        x (B, 1, d); keys, values (layers, B, H, P, h), P from 0; mask (B, 1, 1, P + 1) bool where some of the P cached
        places are empty. Returns (B, 1, d) and the cache with P + 1 places, the new step last.
        """
        new_keys, new_values = [], []
        for i, layer in enumerate(self.layers):
            x, key, value = layer(x, mask, (keys[i], values[i]))
            new_keys.append(key)
            new_values.append(value)
        return self.out(self.norm(x)), torch.stack(new_keys), torch.stack(new_values)


def block_causal_mask(trajectory: Tensor) -> Tensor:
    """(B, T) trajectory indices -> (B, 1, T, T) bool: same trajectory, and not later."""
    same = trajectory[:, :, None] == trajectory[:, None, :]
    steps = trajectory.shape[1]
    causal = torch.ones(steps, steps, dtype=torch.bool, device=trajectory.device).tril()
    return (same & causal)[:, None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
