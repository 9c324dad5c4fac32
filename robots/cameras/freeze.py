"""Detects a camera that delivers nothing any more, or the same image again and again."""

from __future__ import annotations

import time
import zlib
from typing import Any


class FreezeDetector:
    """Age of a camera's newest image and of its last change.

    A sensor has noise, so that no two images of a live camera are equal.

    Args:
        name: of the camera in faults.
        stale_s: age of the newest image above which the camera is lost.
        frozen_s: it is frozen when its images are equal for longer; infinite for a renderer, which has no noise.
    """

    def __init__(self, name: str, stale_s: float, frozen_s: float) -> None:
        self._name, self._stale_s, self._frozen_s = name, stale_s, frozen_s
        self._checksum = -1
        self._newest_ns = self._taken_ns = self._changed_ns = time.monotonic_ns()

    def take(self, content: Any, at_ns: int) -> None:
        """Takes an image of monotonic time `at_ns`: its bytes, or the same part of each image's."""
        checksum = zlib.adler32(content)
        self._newest_ns, self._taken_ns = max(self._newest_ns, at_ns), at_ns
        if checksum != self._checksum:
            self._checksum, self._changed_ns = checksum, at_ns

    def delivered(self, at_ns: int) -> None:
        """Takes the monotonic time of the camera's newest image, whose bytes stay where they are."""
        self._newest_ns = at_ns

    @property
    def fault(self) -> str:
        """Fault, beginning with "camera lost" or "camera frozen"; empty when there is none. Does not block."""
        age_s = (time.monotonic_ns() - self._newest_ns) / 1e9
        same_s = (self._taken_ns - self._changed_ns) / 1e9
        if age_s > self._stale_s:
            return f"camera lost: {self._name} delivered nothing for {age_s:.2f} s"
        return (
            f"camera frozen: {self._name} delivers the same image for {same_s:.2f} s" if same_s > self._frozen_s else ""
        )
