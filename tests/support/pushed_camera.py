"""A camera source whose images a test pushes."""

from __future__ import annotations

import threading

from robots.cameras.camera import CameraLost, Frame


class Pushed:
    """Source whose images are pushed.

    Args:
        name: in messages.
        wait_s: timeout of `grab`.
    """

    lens_fov_deg = 0.0

    def __init__(self, name: str, wait_s: float = 5.0) -> None:
        self.name, self._wait_s = name, wait_s
        self._news = threading.Condition()
        self._frame: Frame | None = None

    def push(self, frame: Frame) -> None:
        """Passes an image, from any thread; replaces one that was not fetched yet."""
        with self._news:
            self._frame = frame
            self._news.notify_all()

    def open(self) -> None:
        """Does nothing."""

    def grab(self) -> Frame:
        """Returns the next image; CameraLost when none is pushed in time."""
        with self._news:
            if not self._news.wait_for(lambda: self._frame is not None, self._wait_s):
                raise CameraLost(f"{self.name}: no image came within {self._wait_s} s")
            frame, self._frame = self._frame, None
        assert frame is not None  # waited for
        return frame

    def close(self) -> None:
        """Drops a pushed image."""
        with self._news:
            self._frame = None
