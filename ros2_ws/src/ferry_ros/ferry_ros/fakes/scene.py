"""Image of a fake camera, which changes with the robot's state, so that a frozen camera is detectable."""

from __future__ import annotations

import numpy as np

from robots.spec import U8Image


def stripes(height: int, width: int, values: tuple[float, ...], number: int = 0) -> U8Image:
    """Draws stripes over a gradient, shifted by `values`; (height, width, 3) uint8 RGB. `number` counts the
    images, and seeds the noise of each one."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = float(np.dot(values, np.arange(1, len(values) + 1)))
    red = 127.5 + 127.5 * np.sin(columns / width * 12 + 4 * shift)
    green = 255 * rows / height
    blue = 127.5 + 127.5 * np.cos(rows / height * 7 - 3 * shift)
    noise = np.random.default_rng(number).integers(0, 3, (height, width, 1))
    return np.clip(np.stack([red, green, blue], axis=-1) + noise, 0, 255).astype(np.uint8)
