"""Camera of a robot without hardware: four coloured walls, seen from the pose of the fake Stretch."""

from __future__ import annotations

import math
import time

import numpy as np

from robots.cameras.camera import CameraLost, CameraMissing, Frame
from robots.processes.control_socket import tell
from robots.spec import U8Image

WALLS = np.array([[200, 60, 60], [60, 180, 60], [60, 60, 200], [200, 180, 60]], dtype=np.uint8)
"""RGB that the synthetic camera sees ahead at yaw 0, 90, 180 and 270 degrees."""


class Synthetic:
    """Images of four coloured walls, seen from the pose of a fake Stretch; a test card without one.

    Args:
        fleet: folder of a running `robots.fakes.stretch.process`; empty for none.
        height: of the images.
        width: of the images.
        yaw_deg: viewing direction, counter-clockwise from ahead.
    """

    lens_fov_deg = 0.0
    PERIOD_S = 1 / 15

    def __init__(self, fleet: str, height: int, width: int, yaw_deg: float = 0.0) -> None:
        self._fleet, self._height, self._width, self._yaw_deg = fleet, height, width, yaw_deg
        self.name = f"synthetic:{fleet}" if fleet else "synthetic"
        self._count, self._next_s = 0, 0.0
        self._last: U8Image | None = None

    def open(self) -> None:
        """Checks the fake; CameraMissing when there is none."""
        try:
            self._pose()
        except ConnectionError as error:
            raise CameraMissing(f"{self.name}: {error}") from error

    def grab(self) -> Frame:
        """The next image; CameraLost when the fake is gone."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = time.monotonic() + self.PERIOD_S
        try:
            travelled_m, turned_rad, frozen = self._pose()
        except ConnectionError as error:
            raise CameraLost(f"{self.name}: {error}") from error
        if self._last is None or not frozen:
            self._count += 1
            self._last = self._draw(travelled_m, turned_rad)
        return Frame(time.monotonic_ns(), self._last)

    def close(self) -> None:
        """Nothing to close."""

    def _pose(self) -> tuple[float, float, bool]:
        if not self._fleet:
            return 0.0, 0.0, False
        state = tell(self._fleet, "state", timeout_s=5.0)
        return state["travelled_m"], state["turned_rad"], state["camera_frozen"]

    def _draw(self, travelled_m: float, turned_rad: float) -> U8Image:
        """Walls above a floor that darkens with the distance driven; the first rows count, like noise in a camera."""
        across = math.radians(59.0) * self._width / self._height
        bearings = turned_rad + math.radians(self._yaw_deg) + np.linspace(across / 2, -across / 2, self._width)
        image = np.empty((self._height, self._width, 3), np.uint8)
        image[:] = WALLS[np.round(bearings / (math.pi / 2)).astype(int) % 4]
        image[self._height // 2 :] = int(120 - 20 * math.tanh(abs(travelled_m)))
        image[: max(1, self._height // 90)] = self._count % 256
        return image
