"""An image that changes with what a fake body does, so that a camera's life can be seen."""

from __future__ import annotations

import numpy as np

from robots.spec import U8Image


def picture(height: int, width: int, values: tuple[float, ...], number: int = 0) -> U8Image:
    """Stripes over a slope, shifted by `values`; (height, width, 3) uint8 RGB. `number` counts the images, and
    gives each one a noise of its own, as a sensor has."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = float(np.dot(values, np.arange(1, len(values) + 1)))
    red = 127.5 + 127.5 * np.sin(columns / width * 12 + 4 * shift)
    green = 255 * rows / height
    blue = 127.5 + 127.5 * np.cos(rows / height * 7 - 3 * shift)
    noise = np.random.default_rng(number).integers(0, 3, (height, width, 1))
    return np.clip(np.stack([red, green, blue], axis=-1) + noise, 0, 255).astype(np.uint8)
