"""A camera's image at its true angles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robots.cameras.letterbox import fov_scale, lens_fov_deg, letterbox
from robots.errors import SpecError
from robots.spec import CameraSpec

CANVAS = CameraSpec("navigation", 224, 398, 59.0)


def test_a_d435_fills_two_thirds_of_the_height() -> None:
    assert lens_fov_deg(620.0, 480) == pytest.approx(42.3, abs=0.05)  # fy of a LoCoBot's, orb_slam2_ros
    assert fov_scale(42.5, 59.0) == pytest.approx(0.687, abs=0.001)
    assert fov_scale(59.0, 59.0) == 1.0


def test_what_the_lens_does_not_see_is_black() -> None:
    boxed = letterbox(np.full((480, 640, 3), 200, np.uint8), 42.3, CANVAS)
    assert boxed.shape == (224, 398, 3)
    rows, columns = np.nonzero(boxed.any(axis=2))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert (height, width) == (round(fov_scale(42.3, 59.0) * 224), round(round(fov_scale(42.3, 59.0) * 224) * 4 / 3))
    assert abs(rows.min() - (223 - rows.max())) <= 1
    assert abs(columns.min() - (397 - columns.max())) <= 1
    assert (boxed[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 200).all()


@pytest.mark.parametrize(("height", "width", "focal_px"), [(480, 640, 620.0), (720, 1280, 925.0), (480, 848, 617.0)])
def test_a_thing_is_where_its_angle_says(height: int, width: int, focal_px: float) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    up, right = math.radians(12.0), math.radians(-20.0)
    row, column = height / 2 - focal_px * math.tan(up), width / 2 + focal_px * math.tan(right)
    image[int(row) - 6 : int(row) + 6, int(column) - 6 : int(column) + 6] = 255
    rows, columns = np.nonzero(letterbox(image, lens_fov_deg(focal_px, height), CANVAS)[..., 0] > 60)
    canvas_px = 112 / math.tan(math.radians(29.5))
    assert rows.mean() + 0.5 == pytest.approx(112 - canvas_px * math.tan(up), abs=1.0)
    assert columns.mean() + 0.5 == pytest.approx(199 + canvas_px * math.tan(right), abs=1.0)


def test_a_wider_lens_is_cut_at_the_edge() -> None:
    image = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 356, 3))
    boxed = letterbox(image, 90.0, CANVAS)
    assert boxed.shape == (224, 398, 3)
    assert (int(boxed[0, 199, 0]), int(boxed[-1, 199, 0])) == pytest.approx((43, 156), abs=2)


def test_a_lens_as_the_table_says_is_only_resized() -> None:
    assert letterbox(np.full((720, 1280, 3), 7, np.uint8), 59.0, CANVAS).min() == 7


@pytest.mark.parametrize("focal_px", [0.0, -1.0, math.nan])
def test_a_camera_without_calibration_is_refused(focal_px: float) -> None:
    with pytest.raises(SpecError, match="focal length of the camera: got"):
        lens_fov_deg(focal_px, 480)
