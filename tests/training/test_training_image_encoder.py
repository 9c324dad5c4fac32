"""Both image encoders: contents of a token, cropping and averaging of images, and sizes that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import SPOC_LIKE, TINY
from torch.nn import functional

from simulation.houses.categories import CATEGORIES
from training.errors import ConfigError
from training.models.config import MINI, MINI_TOKEN_WIDTH
from training.models.image_encoder import (
    CLIP_MEAN,
    CLIP_STD,
    CnnEncoder,
    DinoEncoder,
    Normalise,
    average_matrix,
    image_encoder,
)


def random_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def cnn() -> CnnEncoder:
    torch.manual_seed(0)
    encoder = image_encoder(TINY.image)
    assert isinstance(encoder, CnnEncoder)
    return encoder


@pytest.fixture(scope="module")
def dino() -> DinoEncoder:
    torch.manual_seed(0)
    encoder = image_encoder(SPOC_LIKE.image)
    assert isinstance(encoder, DinoEncoder)
    encoder.pooling.requires_grad_(False)
    return encoder


def test_normalisation_is_clips() -> None:
    white = Normalise()(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    expected = [(1 - mean) / std for mean, std in zip(CLIP_MEAN, CLIP_STD)]
    assert white.shape == (1, 3, 2, 2)
    assert white[0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


@given(st.integers(1, 40), st.integers(1, 12))
def test_averages_equal_torchs_adaptive_pool(source: int, target: int) -> None:
    line = torch.randn(1, source)
    expected = functional.adaptive_avg_pool1d(line[None], target)[0, 0]
    assert torch.allclose(average_matrix(source, target) @ line[0], expected, atol=1e-5)


def test_a_cnn_token_holds_its_cells(cnn: CnnEncoder) -> None:
    images = random_images(2, 28, 48)
    features, presence, geometry = cnn.cells(images)
    assert features.shape == (2, 32, 4, 6)  # 28 rows of pixels: the last cells are half outside
    tokens = cnn(images).view(2, 2, 2, MINI_TOKEN_WIDTH)
    block = torch.sigmoid(presence)[0, :, 0:3, 3:6]
    kinds = len(CATEGORIES)
    assert torch.allclose(tokens[0, 0, 1, : 3 * kinds].view(kinds, 3), block.amax(dim=1), atol=1e-6)
    nearest = -geometry[0, 0, 0:3, 3:6]
    assert torch.allclose(tokens[0, 0, 1, 3 * kinds : 3 * kinds + 3], nearest.amax(dim=0), atol=1e-6)
    mean, floor = -geometry[0, 1, 0:3, 3:6], torch.sigmoid(geometry[0, 2, 0:3, 3:6])
    smooth = tokens[0, 0, 1, 3 * kinds + 3 : 3 * kinds + 9]
    assert torch.allclose(smooth, torch.cat([mean.mean(dim=0), floor.mean(dim=0)]), atol=1e-6)
    assert torch.allclose(tokens[0, 0, 1, -32:], features[0, :, 0:3, 3:6].mean(dim=(1, 2)), atol=1e-6)


def test_missing_rows_repeat_the_last_one(cnn: CnnEncoder) -> None:
    images = random_images(1, 28, 48)
    features, _, _ = cnn.cells(images)
    assert cnn.missing_rows == 2
    tokens = cnn(images).view(1, 2, 2, MINI_TOKEN_WIDTH)
    assert torch.allclose(tokens[0, 1, 0, -32:], features[0, :, 3, 0:3].mean(dim=1), atol=1e-6)


def test_images_of_a_batch_do_not_mix(cnn: CnnEncoder) -> None:
    images = random_images(3, 28, 48)
    assert torch.allclose(cnn(images)[1], cnn(images[1:2])[0], atol=1e-5)


def test_the_mini_encoder_has_the_tokens_its_preset_says() -> None:
    tokens = image_encoder(MINI.image)(random_images(1, MINI.image.height, MINI.image.width))
    assert tokens.shape == (1, 24, MINI_TOKEN_WIDTH)


def test_dino_equals_transformers_on_the_cropped_image(dino: DinoEncoder) -> None:
    images = random_images(2, 28, 45)
    cropped = images[:, :, 1:43]  # 45 columns are 3 patches of 14 and 3 pixels over: one left, two right
    with torch.no_grad():
        patches = dino.model(dino.normalise(cropped)).last_hidden_state[:, 1:]
        grid = patches.transpose(1, 2).unflatten(2, (2, 3))
        expected = functional.adaptive_avg_pool2d(grid, (2, 2)).flatten(2).transpose(1, 2)
        assert torch.allclose(dino(images), expected, atol=1e-5)


def test_dino_crops_to_whole_patches(dino: DinoEncoder) -> None:
    images = random_images(1, 28, 45)
    outside = images.clone()
    outside[:, :, 0], outside[:, :, 43:] = 0, 255
    with torch.no_grad():
        assert torch.equal(dino(images), dino(outside))


def test_encoders_are_frozen() -> None:
    encoder = image_encoder(TINY.image)
    assert not encoder.training
    assert not any(one.requires_grad for one in encoder.parameters())


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="image encoder: got 'clip'"):
        image_encoder(replace(TINY.image, kind="clip"))


def test_tokens_that_do_not_fit_the_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="visual tokens of a cnn: got 2 x 3"):
        image_encoder(replace(TINY.image, columns=3))


def test_a_token_width_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="token width of a cnn: got 64, expected 86"):
        image_encoder(replace(TINY.image, token_width=64))
