"""Procedural images."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.houses.textures import CUBE_TEXTURES, FLOOR_TEXTURES, SCREEN_TEXTURES, TEXTURES, WALL_TEXTURES, texture


@pytest.mark.parametrize("name", TEXTURES)
class TestEveryTexture:
    def test_it_is_a_small_colour_image(self, name: str) -> None:
        image = texture(name)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert image.nbytes <= 6 * 48 * 48 * 3

    def test_it_is_not_plain(self, name: str) -> None:
        assert np.ptp(texture(name)) > 10

    def test_it_is_made_once_and_cannot_be_spoilt(self, name: str) -> None:
        image = texture(name)
        assert texture(name) is image
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0, 0] = 0


@pytest.mark.parametrize("name", CUBE_TEXTURES)
def test_what_wraps_around_an_object_has_six_square_faces(name: str) -> None:
    height, width, _ = texture(name).shape
    assert height == 6 * width


@pytest.mark.parametrize("name", sorted({*TEXTURES} - {*CUBE_TEXTURES}))
def test_what_lies_flat_is_no_cube(name: str) -> None:
    height, width, _ = texture(name).shape
    assert height <= width


def test_walls_floors_and_screens_use_textures_that_exist() -> None:
    assert {*WALL_TEXTURES, *FLOOR_TEXTURES, *SCREEN_TEXTURES} - {""} <= {*TEXTURES}


@pytest.mark.parametrize("name", [*WALL_TEXTURES[1:], *FLOOR_TEXTURES, "wood grain", "fabric"])
def test_what_a_colour_tints_is_grey_and_light(name: str) -> None:
    image = texture(name).astype(int)
    assert (image == image[..., :1]).all()
    assert image.mean() > 160


@pytest.mark.parametrize("name", ["brick", "stripes", "tiles", "checker"])
def test_what_repeats_over_a_wall_joins_up_with_itself(name: str) -> None:
    image = texture(name).astype(float)
    rough = np.abs(np.diff(image, axis=1)).mean(axis=(0, 2)).max()
    assert np.abs(image[:, 0] - image[:, -1]).mean() <= rough + 1e-9


def test_the_basketball_has_dark_seams_on_every_face() -> None:
    faces = texture("basketball").reshape(6, 48, 48, 3)
    for face in faces:
        fraction = (face[..., 0] < 100).mean()
        assert 0.03 < fraction < 0.35


def test_the_seams_of_the_basketball_cross_from_face_to_face() -> None:
    front, right = texture("basketball").reshape(6, 48, 48, 3)[[4, 0]]
    np.testing.assert_array_equal(front[:, -1], right[:, 0])


def test_the_alarm_clock_shows_red_digits() -> None:
    image = texture("digits").astype(int)
    red = (image[..., 0] > 200) & (image[..., 1] < 80)
    assert 0.1 < red.mean() < 0.6


def test_the_clock_face_has_twelve_marks_around_its_rim() -> None:
    image = texture("clock face")[..., 0]
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ring = image[(31.5 - 24.5 * np.sin(angle)).round().astype(int), (31.5 + 24.5 * np.cos(angle)).round().astype(int)]
    dark = ring < 128
    assert int((dark & ~np.roll(dark, 1)).sum()) == 12


def test_a_screen_that_is_off_is_dark_and_a_desktop_is_bright() -> None:
    assert texture("screen night").mean() < 40
    assert texture("desktop").mean() > 140
