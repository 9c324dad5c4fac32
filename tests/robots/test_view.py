"""The one crop and resize, held still by golden values."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.errors import SpecError
from robots.spec import CameraInput, CameraSpec
from robots.view import View, area_weights


def sample_image(height: int, width: int) -> np.ndarray:
    """A smooth but detailed (height, width, 3) uint8 image, the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * 7 + y * 3) % 256, (x * y // 50) % 256, (x // 40 + y // 30) % 2 * 200 + 20]
    return np.stack(channels, axis=-1).astype(np.uint8)


GOLDEN = np.array(
    [
        [[58, 48, 20], [170, 17, 20], [25, 196, 20], [137, 211, 220]],
        [[164, 62, 220], [19, 21, 220], [131, 214, 220], [227, 194, 20]],
        [[19, 77, 220], [124, 29, 220], [236, 228, 220], [91, 176, 20]],
        [[118, 92, 20], [230, 39, 20], [85, 204, 20], [197, 159, 220]],
    ]
)
"""Every 64th row and 96th column of `sample_image(720, 1280)` as a 224x384 policy sees it, shape (4, 4, 3)."""


def test_golden_image_720p_to_the_published_size() -> None:
    view = View(720, 1280, 224, 384)
    assert view.crop == (0, 23, 720, 1234)
    image = view(sample_image(720, 1280))
    assert image.shape == (224, 384, 3)
    assert image.dtype == np.uint8
    # Rounding may differ by one between processors; a changed crop, filter or channel order differs by far more.
    assert np.abs(image[11::64, 13::96].astype(int) - GOLDEN).max() <= 1


def test_thor_render_loses_six_columns_on_either_side() -> None:
    image = sample_image(224, 396)
    assert View(224, 396, 224, 384).crop == (0, 6, 224, 384)
    np.testing.assert_array_equal(View(224, 396, 224, 384)(image), image[:, 6:390])


def test_the_same_size_is_the_same_image() -> None:
    image = sample_image(84, 144)
    np.testing.assert_array_equal(View(84, 144, 84, 144)(image), image)


@pytest.mark.parametrize(("source", "target"), [((224, 384), (112, 192)), ((336, 576), (84, 144))])
def test_agrees_with_opencv_area_resize(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = sample_image(*source)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_AREA)
    difference = np.abs(View(*source, *target)(image).astype(int) - expected.astype(int))
    assert difference.max() <= 1  # rounding of halves


@given(source=st.integers(1, 60), target=st.integers(1, 60))
def test_weights_average_and_lose_no_light(source: int, target: int) -> None:
    weights = area_weights(source, target)
    assert weights.shape == (target, source)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), target / source, atol=1e-4)


@given(height=st.integers(2, 40), width=st.integers(2, 40), value=st.integers(0, 255))
def test_a_flat_image_stays_flat(height: int, width: int, value: int) -> None:
    image = np.full((height, width, 3), value, np.uint8)
    assert (View(height, width, 12, 21)(image) == value).all()


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(SpecError, match=r"got shape \(10, 10, 3\)"):
        View(84, 144, 84, 144)(np.zeros((10, 10, 3), np.uint8))


def test_between_a_camera_and_a_policy_input() -> None:
    camera, target = CameraSpec("a", 720, 1280, 59.0), CameraInput("a", 84, 144, 59.0)
    assert View.between(camera, target) == View(720, 1280, 84, 144)
