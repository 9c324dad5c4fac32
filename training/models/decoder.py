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

from training.errors import ConfigError

Words = tuple[Tensor, Tensor | None]
"""An instruction per step: (N, L, d), and its mask of present words, (N, L) bool, None when all are."""

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

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Linear(width, width, bias)
        self.key = nn.Linear(width, width, bias)
        self.value = nn.Linear(width, width, bias)
        self.out = nn.Linear(width, width, bias)

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
        self, x: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None, words: Words | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `CausalAttention.forward`; the words are not used."""
        y, key, value = self.attention(self.attention_norm(x), mask, past)
        x = x + y
        return x + self.feed(self.feed_norm(x)), key, value


class CrossLayer(nn.Module):
    """norm(x + attention(x)), then norm(x + attention(x, words)), then norm(x + feed(x)).

    The layer of Vaswani et al. 2017 (arXiv:1706.03762), section 3.1, as PyTorch's `nn.TransformerDecoderLayer` has it:
    the decoder of SPOC (spoc-robot-training architecture/models/transformer_models/early_fusion_tsfm_models.py).
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention, self.attention_norm = CausalAttention(width, heads, bias=True), nn.LayerNorm(width)
        self.reading, self.reading_norm = TextAttention(width, heads, bias=True), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.feed_norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None, words: Words | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `CausalAttention.forward`; the words are those of every step in order, B * T of them."""
        assert words is not None
        y, key, value = self.attention(x, mask, past)
        x = self.attention_norm(x + y)
        x = self.reading_norm(x + self.reading.read(x, words))
        return self.feed_norm(x + self.feed(x)), key, value


class TextAttention(CausalAttention):
    """Multi-head attention of each step over the words of its instruction."""

    def read(self, x: Tensor, words: Words) -> Tensor:
        """x (B, T, d), words of B * T -> (B, T, d)."""
        features, present = words
        query = self._split(self.query(x.flatten(0, 1)[:, None]))
        key, value = self._split(self.key(features)), self._split(self.value(features))
        mask = None if present is None else present[:, None, None]
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(y.transpose(1, 2).flatten(2)).view_as(x)
        return out


class CausalDecoder(nn.Module):
    """Decoder layers; after those of kind "causal" a final RMSNorm and a linear map without bias."""

    def __init__(self, width: int, layers: int, heads: int, hidden: int, kind: str = "causal") -> None:
        super().__init__()
        kinds = {"causal": DecoderLayer, "cross": CrossLayer}
        if kind not in kinds:
            raise ConfigError("decoder", repr(kind), f"one of {', '.join(kinds)}")
        self.layers = nn.ModuleList(kinds[kind](width, heads, hidden) for _ in range(layers))
        self.norm = RMSNorm(width) if kind == "causal" else nn.Identity()
        self.out = nn.Linear(width, width, bias=False) if kind == "causal" else nn.Identity()
        self.apply(_initialise)

    def sequence(self, x: Tensor, trajectory: Tensor, words: Words | None = None) -> Tensor:
        """Whole rows of steps, several episodes in a row: (B, T, d), trajectory (B, T) int -> (B, T, d).

        A step sees the steps before it of the same trajectory index, and itself.
        """
        mask = block_causal_mask(trajectory)
        for layer in self.layers:
            x, _, _ = layer(x, mask, None, words)
        out: Tensor = self.out(self.norm(x))
        return out

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, words: Words | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of each of B episodes.

        x (B, 1, d); keys, values (layers, B, H, P, h), P from 0; mask (B, 1, 1, P + 1) bool where some of the P cached
        places are empty. Returns (B, 1, d) and the cache with P + 1 places, the new step last.
        """
        new_keys, new_values = [], []
        for i, layer in enumerate(self.layers):
            x, key, value = layer(x, mask, (keys[i], values[i]), words)
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
