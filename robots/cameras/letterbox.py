"""A camera's picture at its true angles in the picture that a table declares.

A body's table says how much its pictures cover; the sensor that is mounted may see less or more. What it does not see
is black, what it sees beyond is cut off, and a thing is as large in the picture as its angle says: the field of view
that `bind` checks is true whatever is mounted (docs/decisions/0004-locobot-camera.md).
"""

from __future__ import annotations

import math

import numpy as np

from robots.errors import SpecError
from robots.spec import CameraSpec, U8Image
from robots.view import View


def lens_fov_deg(focal_px: float, size_px: int) -> float:
    """The field of view of a pinhole camera along the side of `size_px` (`fy` and the height for the vertical one)."""
    if not focal_px > 0:
        raise SpecError("focal length of the camera", focal_px, "pixels, above 0")
    return math.degrees(2 * math.atan(size_px / 2 / focal_px))


def share(lens_deg: float, picture_deg: float) -> float:
    """How much of a picture `picture_deg` high a lens that sees `lens_deg` fills; above 1 when it sees more."""
    return math.tan(math.radians(lens_deg) / 2) / math.tan(math.radians(picture_deg) / 2)


def framed(image: U8Image, lens_deg: float, camera: CameraSpec) -> U8Image:
    """`image`, seen `lens_deg` high, as `camera` declares its pictures: (camera.height, camera.width, 3) uint8.

    Args:
        image: (any height, any width, 3) uint8 RGB with square pixels.
        lens_deg: vertical field of view of `image`, from the camera's own calibration.
        camera: what is declared.
    """
    height = max(1, round(share(lens_deg, camera.vertical_fov_deg) * camera.height))
    width = max(1, round(height * image.shape[1] / image.shape[0]))
    scaled = View(image.shape[0], image.shape[1], height, width)(image)
    if (height, width) == (camera.height, camera.width):
        return scaled
    picture = np.zeros((camera.height, camera.width, 3), np.uint8)
    rows, columns = min(height, camera.height), min(width, camera.width)
    _middle(picture, rows, columns)[:] = _middle(scaled, rows, columns)
    return picture


def _middle(image: U8Image, height: int, width: int) -> U8Image:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
