"""The causal decoder against hand-computed values, and its cache against computing everything again."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from training.models.decoder import (
    NORM_EPS,
    CausalAttention,
    CausalDecoder,
    DecoderLayer,
    RMSNorm,
    SwiGLU,
    block_causal_mask,
)

WIDTH, HEADS = 32, 4


@pytest.fixture
def decoder() -> CausalDecoder:
    torch.manual_seed(1)
    decoder = CausalDecoder(WIDTH, layers=2, heads=HEADS, hidden=48)
    for parameter in decoder.parameters():  # weights of 0.02 would hide differences
        parameter.data += 0.1 * torch.randn_like(parameter)
    return decoder.eval().requires_grad_(False)


def empty_cache(decoder: CausalDecoder, episodes: int) -> torch.Tensor:
    return torch.zeros(len(decoder.layers), episodes, HEADS, 0, WIDTH // HEADS)


def test_rms_norm_by_hand() -> None:
    norm = RMSNorm(2)
    norm.weight.data = torch.tensor([1.0, 2.0])
    root = math.sqrt((9 + 16) / 2 + NORM_EPS)
    assert torch.allclose(norm(torch.tensor([3.0, 4.0])), torch.tensor([3 / root, 2 * 4 / root]))


def test_rms_norm_does_not_subtract_the_mean() -> None:
    out = RMSNorm(3)(torch.tensor([5.0, 5.0, 5.0]))
    assert torch.allclose(out, torch.ones(3), atol=1e-5)


def test_rms_norm_of_zeros_is_zero() -> None:
    assert torch.equal(RMSNorm(4)(torch.zeros(4)), torch.zeros(4))


def test_swiglu_by_hand() -> None:
    feed = SwiGLU(1, 2)
    feed.gate.weight.data = torch.tensor([[1.0], [-2.0]])
    feed.up.weight.data = torch.tensor([[3.0], [0.5]])
    feed.down.weight.data = torch.tensor([[1.0, 10.0]])

    def silu(x: float) -> float:
        return x / (1 + math.exp(-x))

    expected = silu(2.0) * 6.0 + 10 * silu(-4.0) * 1.0
    assert feed(torch.tensor([2.0])).item() == pytest.approx(expected, rel=1e-5)


def test_nothing_has_a_bias() -> None:
    decoder = CausalDecoder(8, 1, 2, 8)
    assert not [name for name, _ in decoder.named_parameters() if "bias" in name]


def test_attention_of_one_head_by_hand() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(4, 1)
    x = torch.randn(1, 3, 4)
    mask = torch.ones(3, 3, dtype=torch.bool).tril()[None, None]
    got, keys, values = attention(x, mask, None)
    query, key, value = attention.query(x), attention.key(x), attention.value(x)
    scores = (query @ key.transpose(1, 2) / 2).masked_fill(~mask[0], -torch.inf)
    expected = attention.out(functional.softmax(scores, dim=-1) @ value)
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.allclose(keys[:, 0], key)
    assert torch.allclose(values[:, 0], value)


def test_a_layer_is_pre_norm_with_two_residuals() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(8, 2, 8)
    x = torch.randn(1, 2, 8)
    y = x + layer.attention(layer.attention_norm(x), None, None)[0]
    expected = y + layer.feed(layer.feed_norm(y))
    assert torch.allclose(layer(x, None, None)[0], expected)


def test_block_causal_mask_by_hand() -> None:
    mask = block_causal_mask(torch.tensor([[4, 4, 7]]))[0, 0]
    assert mask.tolist() == [[True, False, False], [True, True, False], [False, False, True]]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12))
def test_a_step_sees_itself_and_what_came_before_in_its_episode(trajectory: list[int]) -> None:
    mask = block_causal_mask(torch.tensor([trajectory]))[0, 0]
    for i, one in enumerate(trajectory):
        for j, other in enumerate(trajectory):
            assert bool(mask[i, j]) == (one == other and j <= i)


def test_the_future_changes_nothing(decoder: CausalDecoder) -> None:
    x, row = torch.randn(1, 6, WIDTH), torch.zeros(1, 6, dtype=torch.int64)
    before = decoder.sequence(x, row)
    x[:, 4:] += 1.0
    after = decoder.sequence(x, row)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_packed_episodes_do_not_see_each_other(decoder: CausalDecoder) -> None:
    first, second = torch.randn(1, 5, WIDTH), torch.randn(1, 3, WIDTH)
    packed = decoder.sequence(torch.cat([first, second], dim=1), torch.tensor([[8] * 5 + [2] * 3]))
    for part, alone in ((packed[:, :5], first), (packed[:, 5:], second)):
        expected = decoder.sequence(alone, torch.zeros(1, alone.shape[1], dtype=torch.int64))
        assert torch.allclose(part, expected, atol=1e-5)


@settings(max_examples=10)
@given(steps=st.integers(1, 12), episodes=st.integers(1, 3))
def test_the_cache_equals_computing_everything_again(steps: int, episodes: int) -> None:
    torch.manual_seed(steps)
    decoder = CausalDecoder(WIDTH, layers=2, heads=HEADS, hidden=48).eval().requires_grad_(False)
    x = torch.randn(episodes, steps, WIDTH)
    whole = decoder.sequence(x, torch.zeros(episodes, steps, dtype=torch.int64))
    keys = values = empty_cache(decoder, episodes)
    for step in range(steps):
        y, keys, values = decoder.step(x[:, step : step + 1], keys, values)
        assert torch.allclose(y[:, 0], whole[:, step], atol=1e-5)
    assert keys.shape == values.shape == (2, episodes, HEADS, steps, WIDTH // HEADS)


def test_the_order_of_cached_steps_does_not_matter(decoder: CausalDecoder) -> None:
    x = torch.randn(1, 1, WIDTH)
    keys, values = (torch.randn(2, 1, HEADS, 5, WIDTH // HEADS) for _ in range(2))
    order = torch.tensor([3, 0, 4, 1, 2])
    straight, _, _ = decoder.step(x, keys, values)
    shuffled, _, _ = decoder.step(x, keys[:, :, :, order], values[:, :, :, order])
    assert torch.allclose(straight, shuffled, atol=1e-6)


def test_masked_places_of_the_cache_are_not_seen(decoder: CausalDecoder) -> None:
    x = torch.randn(1, 1, WIDTH)
    keys, values = (torch.randn(2, 1, HEADS, 4, WIDTH // HEADS) for _ in range(2))
    mask = torch.tensor([True, True, False, False, True])[None, None, None]
    got, _, _ = decoder.step(x, keys, values, mask)
    expected, _, _ = decoder.step(x, keys[:, :, :, :2], values[:, :, :, :2])
    assert torch.allclose(got, expected, atol=1e-6)
