"""From a camera image to a policy image: one centre crop and one area resize, the same everywhere.

Simulation, training, export and serving all use this object; tests hold it still with a golden image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robots.spec import CameraInput, CameraSpec, U8Image, check_image


@dataclass(frozen=True)
class View:
    """Crops a (source_height, source_width, 3) image at its centre to the target's aspect ratio and resizes it by area.

    A 1280x720 camera feeding a 384x224 policy loses 23 columns on either side, as FLaRe's 396x224 render loses 6
    (utils/constants/stretch_initialization_utils.py).
    """

    source_height: int
    source_width: int
    height: int
    width: int

    @classmethod
    def between(cls, camera: CameraSpec, target: CameraInput) -> View:
        """The view that turns `camera`'s images into `target`'s."""
        return cls(camera.height, camera.width, target.height, target.width)

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """(top, left, height, width) in source pixels of the largest centre crop with the target aspect ratio."""
        height = min(self.source_height, round(self.source_width * self.height / self.width))
        width = min(self.source_width, round(self.source_height * self.width / self.height))
        return (self.source_height - height) // 2, (self.source_width - width) // 2, height, width

    def vertical_fov_deg(self, source_deg: float) -> float:
        """The vertical field of view after the crop of a pinhole camera that sees `source_deg` before it."""
        half = math.tan(math.radians(source_deg) / 2) * self.crop[2] / self.source_height
        return math.degrees(2 * math.atan(half))

    def __call__(self, image: U8Image) -> U8Image:
        """(source_height, source_width, 3) uint8 -> (height, width, 3) uint8; SpecError for any other image."""
        check_image("camera image", image, (self.source_height, self.source_width))
        top, left, height, width = self.crop
        image = image[top : top + height, left : left + width]
        if (height, width) == (self.height, self.width):
            return image
        rows = _average(image.reshape(height, -1), area_taps(height, self.height))  # (H, w * 3)
        columns = rows.reshape(self.height, width, 3).swapaxes(0, 1).reshape(width, -1)  # (w, H * 3)
        resized = _average(columns, area_taps(width, self.width)).reshape(self.width, self.height, 3).swapaxes(0, 1)
        pixels: U8Image = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
        return pixels


@lru_cache(maxsize=64)
def area_weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Shape (target, source): row i averages the source pixels that target pixel i covers, by covered length.

    Enlarging uses the same rule, so that a target pixel takes the source pixel it lies in.
    """
    edges = np.arange(target + 1, dtype=np.float64) * source / target
    pixels = np.arange(source, dtype=np.float64)
    low = np.maximum(edges[:-1, None], pixels[None, :])
    high = np.minimum(edges[1:, None], pixels[None, :] + 1.0)
    weights = np.maximum(high - low, 0.0)
    normalised: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    normalised.setflags(write=False)
    return normalised


@lru_cache(maxsize=64)
def area_taps(source: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Shapes (target, n): the few source pixels that each target pixel averages, and their weights."""
    weights = area_weights(source, target)
    places = (weights > 0).argmax(axis=1)[:, None] + np.arange(int((weights > 0).sum(axis=1).max()))
    inside = np.minimum(places, source - 1)
    return inside, np.where(places < source, np.take_along_axis(weights, inside, axis=1), np.float32(0))


def _average(
    rows: npt.NDArray[Any], taps: tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """(source, n) -> (target, n). A sum over few taps: faster than a matrix product, and free of BLAS threads, which
    stall for seconds on a robot's busy computer."""
    places, weights = taps
    total: npt.NDArray[np.float32] = rows[places[:, 0]] * weights[:, :1]
    for tap in range(1, places.shape[1]):
        total += rows[places[:, tap]] * weights[:, tap, None]
    return total
