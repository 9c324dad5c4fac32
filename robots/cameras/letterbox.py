"""Letterboxes a camera's image to the declared field of view, at true angles.

An embodiment declares the field of view of its images; the mounted sensor may see less or more. The rest of the image
is black, what lies beyond is cropped, and every object keeps its angular size: the field of view that `bind` checks
holds whatever sensor is mounted (docs/decisions/0004-locobot-camera.md).
"""

from __future__ import annotations

import math

import numpy as np

from robots.errors import SpecError
from robots.spec import CameraSpec, U8Image
from robots.view import View


def lens_fov_deg(focal_px: float, size_px: int) -> float:
    """Field of view of a pinhole camera along the side of `size_px` (`fy` and the height for the vertical one)."""
    if not focal_px > 0:
        raise SpecError("focal length of the camera", focal_px, "pixels, above 0")
    return math.degrees(2 * math.atan(size_px / 2 / focal_px))


def fov_scale(lens_deg: float, image_deg: float) -> float:
    """Fraction of an image `image_deg` high that a lens of `lens_deg` fills; above 1 when the lens sees more."""
    return math.tan(math.radians(lens_deg) / 2) / math.tan(math.radians(image_deg) / 2)


def letterbox(image: U8Image, lens_deg: float, camera: CameraSpec) -> U8Image:
    """Scales, pads and crops an image to what `camera` declares: (camera.height, camera.width, 3) uint8.

    Args:
        image: (any height, any width, 3) uint8 RGB with square pixels.
        lens_deg: vertical field of view of `image`, from the camera's own calibration.
        camera: the declared size and field of view.
    """
    height = max(1, round(fov_scale(lens_deg, camera.vertical_fov_deg) * camera.height))
    width = max(1, round(height * image.shape[1] / image.shape[0]))
    scaled = View(image.shape[0], image.shape[1], height, width)(image)
    if (height, width) == (camera.height, camera.width):
        return scaled
    result = np.zeros((camera.height, camera.width, 3), np.uint8)
    rows, columns = min(height, camera.height), min(width, camera.width)
    _middle(result, rows, columns)[:] = _middle(scaled, rows, columns)
    return result


def _middle(image: U8Image, height: int, width: int) -> U8Image:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
