"""The SDK of the lamp in docs/robots.md, with the lamp itself behind it: a motor that takes its time."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

SETTLES_S = 0.02
"""A motor that is commanded to halt is at rest after so long."""


class Lamp:
    """A lamp on a port. Everything returns at once."""

    def __init__(self, port: str) -> None:
        if not port.startswith("/dev/"):
            raise OSError(f"no such device: {port}")
        self._from, self._goal, self._speed, self._since_s = 0.2, 0.2, 1.0, 0.0

    def angle(self) -> float:
        """Measured angle [rad]."""
        way = self._speed * max(0.0, time.monotonic() - self._since_s)
        return self._from + float(np.clip(self._goal - self._from, -way, way))

    def go(self, angle_rad: float, speed_radps: float) -> None:
        """Starts a motion."""
        self._from, self._goal, self._speed, self._since_s = self.angle(), angle_rad, speed_radps, time.monotonic()

    def moving(self) -> bool:
        """Whether the motor turns."""
        return self.angle() != self._goal

    def halt(self) -> None:
        """Stops the motor."""
        here = self.angle()
        self.go(here + float(np.clip(self._goal - here, -1, 1)) * self._speed * SETTLES_S, self._speed)

    def fault(self) -> str:
        """What is wrong; empty when nothing is."""
        return ""

    def image(self) -> npt.NDArray[np.uint8]:
        """What it sees, (48, 64, 3) RGB."""
        return np.full((48, 64, 3), int(100 + 50 * self.angle()), dtype=np.uint8)

    def close(self) -> None:
        """Lets go of the port."""
