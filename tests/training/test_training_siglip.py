"""SigLIP's towers: resizing of images and cleaning of texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from released_weights import write_t5_tokenizer
from torch.nn import functional

from training.models.config import ImageConfig, TextConfig
from training.models.image_encoder import image_encoder
from training.models.siglip import CONTEXT, END, SIDE, SiglipImages, SiglipWords, resize_matrix
from training.models.tokenizer import tokenizer_for

IMAGES = ImageConfig("siglip", 224, 384, rows=7, columns=12, token_width=24, layers=1, heads=2)
WORDS = TextConfig("siglip", width=16, layers=1, heads=2, ffn=16)


def test_squeezing_is_one_matrix_per_side() -> None:
    image = torch.rand(1, 3, 224, 384) * 255
    expected = functional.interpolate(image, (SIDE, SIDE), mode="bicubic", antialias=True)
    got = resize_matrix(224, SIDE) @ image @ resize_matrix(384, SIDE).T
    assert torch.allclose(got, expected, atol=1e-2)


def test_an_image_is_84_tokens_in_the_order_of_its_rows() -> None:
    encoder = image_encoder(IMAGES)
    assert isinstance(encoder, SiglipImages)
    encoder.model.embeddings.position_embedding.weight.data.zero_()
    images = torch.zeros(2, 224, 384, 3, dtype=torch.uint8)
    images[1, :32, -32:] = 255  # the upper right corner
    dark, bright = encoder(images)
    assert dark.shape == (84, 24)
    assert (bright - dark).abs().sum(1).argmax() == 11


def test_the_last_token_of_a_text_is_the_pooled_one() -> None:
    torch.manual_seed(0)
    words = SiglipWords(WORDS)
    ids = torch.tensor([[5, 6, *[END] * (CONTEXT - 2)]])
    before = words(ids)
    words.model.head.bias.data += 1
    assert torch.equal(words(ids)[:, :-1], before[:, :-1])
    assert torch.allclose(words(ids)[:, -1], before[:, -1] + 1)


@pytest.mark.parametrize("text", ["find a mug", "  Find a_MUG!", "find,\ta  'mug'."])
def test_texts_are_cleaned_and_filled_up(tmp_path: Path, text: str) -> None:
    write_t5_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = tokenizer_for(TextConfig("siglip", 16, tokenizer=str(tmp_path)))
    assert tokenizer.encode(text).ids == [6, 5, 7, END, *[END] * (CONTEXT - 4)]
