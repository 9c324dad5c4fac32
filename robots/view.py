"""From a camera image to a policy image: one centre crop and one area resize, the same everywhere.

Simulation, training, export and serving all use this object; tests hold it still with a golden image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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

    def __call__(self, image: U8Image) -> U8Image:
        """(source_height, source_width, 3) uint8 -> (height, width, 3) uint8; SpecError for any other image."""
        check_image("camera image", image, (self.source_height, self.source_width))
        top, left, height, width = self.crop
        image = image[top : top + height, left : left + width]
        if (height, width) == (self.height, self.width):
            return image
        rows, columns = area_weights(height, self.height), area_weights(width, self.width)
        flat = rows @ image.reshape(height, -1).astype(np.float32)  # (H, w * 3)
        resized = np.matmul(columns, flat.reshape(self.height, width, 3))  # (H, W, 3)
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
