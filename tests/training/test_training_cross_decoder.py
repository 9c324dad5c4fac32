"""SPOC's decoder: PyTorch's own layer gives the same numbers; step by step as all at once; the words matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_policies import SPOC_LIKE, random_tokens, tiny_policy
from torch import Tensor, nn

from training.errors import ConfigError
from training.models.config import ImageConfig
from training.models.decoder import CausalDecoder
from training.models.image_encoder import DinoEncoder

WIDTH, HEADS, HIDDEN, STEPS = 16, 2, 24, 5


@pytest.fixture(scope="module")
def decoder() -> CausalDecoder:
    torch.manual_seed(0)
    made = CausalDecoder(WIDTH, 2, HEADS, HIDDEN, kind="cross")
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return made.eval().requires_grad_(False)


def theirs(decoder: CausalDecoder) -> nn.TransformerDecoder:
    """PyTorch's decoder with the same weights."""
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True)
    made = nn.TransformerDecoder(layer, 2).eval().requires_grad_(False)
    weights = decoder.state_dict()
    for name, value in made.state_dict().items():
        _, i, part, *rest = name.split(".")
        ours = {"self_attn": "attention", "multihead_attn": "reading", "norm1": "attention_norm"}
        ours |= {"norm2": "reading_norm", "norm3": "feed_norm", "linear1": "feed.0", "linear2": "feed.2"}
        leaf = ".".join(rest).replace("out_proj", "out")
        if leaf.startswith("in_proj"):
            kind = leaf.removeprefix("in_proj_")
            parts = [weights[f"layers.{i}.{ours[part]}.{one}.{kind}"] for one in ("query", "key", "value")]
            value.copy_(torch.cat(parts))
        else:
            value.copy_(weights[f"layers.{i}.{ours[part]}.{leaf}"])
    return made


def test_it_is_pytorchs_decoder(decoder: CausalDecoder) -> None:
    x, words = torch.randn(1, STEPS, WIDTH), torch.randn(1, 4, WIDTH)
    mask = nn.Transformer.generate_square_subsequent_mask(STEPS)
    expected = theirs(decoder)(x, words, tgt_mask=mask)
    got = decoder.sequence(x, torch.zeros(1, STEPS, dtype=torch.int64), (words.expand(STEPS, -1, -1), None))
    assert torch.allclose(got, expected, atol=1e-5)


def test_step_by_step_is_all_at_once(decoder: CausalDecoder) -> None:
    x, words = torch.randn(1, STEPS, WIDTH), torch.randn(1, 4, WIDTH)
    present = torch.tensor([[True, True, True, False]])
    trajectory = torch.zeros(1, STEPS, dtype=torch.int64)
    whole = decoder.sequence(x, trajectory, (words.expand(STEPS, -1, -1), present.expand(STEPS, -1)))
    keys = values = torch.zeros(2, 1, HEADS, 0, WIDTH // HEADS)
    for i in range(STEPS):
        y, keys, values = decoder.step(x[:, i : i + 1], keys, values, None, (words[:, :3], None))
        assert torch.allclose(y[:, 0], whole[:, i], atol=1e-5)


def test_an_absent_word_is_not_read_and_a_present_one_is(decoder: CausalDecoder) -> None:
    x, words = torch.randn(1, 1, WIDTH), torch.randn(1, 3, WIDTH)
    trajectory, present = torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[True, True, False]])

    def answer(change: int) -> Tensor:
        other = words.clone()
        other[0, change] += 1
        return decoder.sequence(x, trajectory, (other, present))

    before = decoder.sequence(x, trajectory, (words, present))
    assert torch.equal(answer(2), before)
    assert not torch.allclose(answer(1), before, atol=1e-3)


def test_a_policy_of_it_remembers_and_reads() -> None:
    policy = tiny_policy(1, replace(SPOC_LIKE, decoder="cross")).requires_grad_(False)
    tokens, ids = random_tokens(SPOC_LIKE, 1, 3), torch.tensor([[1, 2, 3]])
    numbers = torch.arange(3)[None]
    text = policy.text(ids.expand(3, -1))
    whole = policy.sequence(tokens, text, numbers, torch.zeros(1, 3, 1), numbers, torch.zeros_like(numbers))
    layers, heads, size = policy.heads
    keys = values = torch.zeros(layers, 1, heads, 0, size)
    one, state = policy.text(ids), torch.zeros(1, 1)
    for i in range(3):
        at = torch.tensor([i])
        logits, keys, values = policy.step(tokens[:, i], one, at, state, at, keys, values)
        assert torch.allclose(logits[0], whole[0, i], atol=1e-4)


def test_an_unknown_decoder_is_named() -> None:
    with pytest.raises(ConfigError, match="decoder: got 'gru'"):
        CausalDecoder(WIDTH, 1, HEADS, HIDDEN, kind="gru")


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_the_stretched_positions_follow_the_weights(offset: float) -> None:
    config = ImageConfig("dino", 28, 45, 2, 2, token_width=24, layers=1, heads=2, position_offset=offset)
    one, other = DinoEncoder(config), DinoEncoder(config)
    assert not torch.equal(one.get_buffer("position"), other.get_buffer("position"))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.get_buffer("position"), other.get_buffer("position"))


def test_the_offset_is_where_the_table_is_read() -> None:
    config = ImageConfig("dino", 28, 45, 2, 2, token_width=24, layers=1, heads=2)
    published = DinoEncoder(replace(config, position_offset=0.1))
    plain = DinoEncoder(config)
    plain.load_state_dict(published.state_dict())
    table = published.model.embeddings.position_embeddings
    assert torch.equal(plain.get_buffer("position")[:, 0], table[:, 0])  # the class token's is not stretched
    assert torch.allclose(plain.model.embeddings.interpolate_pos_encoding(torch.zeros(1, 7, 24), 28, 45),
                          plain.get_buffer("position"), atol=1e-6)  # fmt: skip
    assert not torch.allclose(plain.get_buffer("position"), published.get_buffer("position"), atol=1e-4)
