"""Augmentation keeps shape and range, and is the same for the same generator."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.perception.augment import LUMA, augment, blur, colour_jitter, hue_rotation, posterise, sharpen


def random_images(count: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 12, 20, generator=torch.Generator().manual_seed(seed))


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_shape_and_range_stay(seed: int, count: int) -> None:
    out = augment(random_images(count, seed), drawn(seed))
    assert out.shape == (count, 3, 12, 20)
    assert out.min() >= 0.0
    assert out.max() <= 1.0


def test_the_same_generator_gives_the_same_images() -> None:
    assert torch.equal(augment(random_images(), drawn(5)), augment(random_images(), drawn(5)))
    assert not torch.equal(augment(random_images(), drawn(5)), augment(random_images(), drawn(6)))


def test_each_image_has_a_draw_of_its_own() -> None:
    same = random_images(1).repeat(8, 1, 1, 1)
    out = augment(same, drawn(0))
    assert len({tuple(one.flatten().tolist()) for one in out}) == 8


def test_what_is_given_is_not_changed() -> None:
    images = random_images()
    before = images.clone()
    augment(images, drawn(0))
    assert torch.equal(images, before)


def test_the_other_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    augment(random_images(), drawn(0))
    assert torch.equal(torch.rand(1), expected)


def test_colours_change_by_a_little() -> None:
    images = 0.25 + 0.5 * random_images(64)
    change = (colour_jitter(images.clone(), drawn(0)) - images).abs().mean(dim=(1, 2, 3))
    assert 0.01 < change.mean() < 0.25


def test_grey_stays_grey() -> None:
    grey = torch.rand(4, 1, 6, 6, generator=drawn(1)).expand(4, 3, 6, 6)
    out = colour_jitter(grey.clone(), drawn(2))
    assert torch.allclose(out[:, 0], out[:, 1], atol=1e-5)
    assert torch.allclose(out[:, 1], out[:, 2], atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2, math.pi])
def test_hue_is_a_rotation_about_grey(angle: float) -> None:
    rotation = hue_rotation(torch.tensor([angle]))[0]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(rotation @ torch.ones(3), torch.ones(3), atol=1e-6)
    assert rotation.trace().item() == pytest.approx(1 + 2 * math.cos(angle), abs=1e-5)


def test_a_third_of_a_turn_moves_red_to_green() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])
    turned = hue_rotation(torch.tensor([2 * math.pi / 3]))[0] @ red
    assert torch.allclose(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


def test_luma_adds_up() -> None:
    assert sum(LUMA) == pytest.approx(1.0)


def test_blur_of_a_point_is_binomial() -> None:
    point = torch.zeros(1, 3, 5, 5)
    point[0, 1, 2, 2] = 16.0
    out = blur(point)
    assert out[0, 1, 1:4, 1:4].tolist() == [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    assert out[0, 0].abs().sum() == 0


def test_blur_and_sharpening_leave_a_plain_image() -> None:
    plain = torch.full((2, 3, 7, 9), 0.4)
    assert torch.allclose(blur(plain), plain)
    assert torch.allclose(sharpen(plain), plain)


def test_sharpening_raises_contrast() -> None:
    images = 0.3 + 0.4 * random_images()
    assert sharpen(images).std() > images.std() > blur(images).std()


@pytest.mark.parametrize("bits", [4, 6])
def test_posterised_images_have_few_colours(bits: int) -> None:
    out = posterise(torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64), bits)
    assert len(out.unique()) == 2**bits
    assert out.max() <= 1.0
