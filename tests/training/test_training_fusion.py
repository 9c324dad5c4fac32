"""The fusion transformer equals torch's own, of which only the first token is read."""

from __future__ import annotations

import pytest
import torch

from training.models.fusion import Fusion


@pytest.fixture(params=[1, 3], ids=["1 layer", "3 layers"])
def fusion(request: pytest.FixtureRequest) -> Fusion:
    torch.manual_seed(0)
    return Fusion(32, request.param, 4, 48, dropout=0.1).eval().requires_grad_(False)


def reference(fusion: Fusion, tokens: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
    first = fusion.token.expand(len(tokens), 1, -1)
    if padding is not None:
        padding = torch.cat([torch.zeros(len(tokens), 1, dtype=torch.bool), padding], dim=1)
    out: torch.Tensor = fusion.encoder(torch.cat([first, tokens], dim=1), src_key_padding_mask=padding)
    return out[:, 0]


def test_it_equals_the_whole_encoder(fusion: Fusion) -> None:
    tokens = torch.randn(3, 7, 32)
    assert torch.allclose(fusion(tokens, None, None), reference(fusion, tokens), atol=1e-5)


def test_gradients_equal_the_whole_encoders(fusion: Fusion) -> None:
    tokens = torch.randn(2, 5, 32, requires_grad=True)
    (ours,) = torch.autograd.grad(fusion(tokens, None, None).square().sum(), tokens)
    (theirs,) = torch.autograd.grad(reference(fusion, tokens).square().sum(), tokens)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_padding_is_not_read(fusion: Fusion) -> None:
    tokens = torch.randn(2, 6, 32)
    padding = torch.tensor([[False] * 4 + [True] * 2] * 2)
    expected = fusion(tokens[:, :4], None, None)
    tokens[:, 4:] = 100.0
    assert torch.allclose(fusion(tokens, None, padding), expected, atol=1e-5)
    assert torch.allclose(reference(fusion, tokens, padding), expected, atol=1e-5)


def test_the_summary_is_added_to_the_fusion_token(fusion: Fusion) -> None:
    tokens, summary = torch.randn(1, 4, 32), torch.randn(1, 32)
    with_summary = fusion(tokens, summary, None)
    fusion.token += summary[0]
    assert torch.allclose(with_summary, fusion(tokens, None, None), atol=1e-6)


def test_it_reads_a_set(fusion: Fusion) -> None:
    tokens = torch.randn(1, 6, 32)
    assert torch.allclose(fusion(tokens, None, None), fusion(tokens.flip(1), None, None), atol=1e-5)


def test_dropout_is_for_training_only(fusion: Fusion) -> None:
    tokens = torch.randn(1, 4, 32)
    assert torch.equal(fusion(tokens, None, None), fusion(tokens, None, None))
    fusion.train()
    assert not torch.equal(fusion(tokens, None, None), fusion(tokens, None, None))
