"""Cameras of a robot, of any kind: the newest image, never an old one, and errors that name the cause.

CameraError (RobotError)
├── CameraMissing   there is no such device (also a ConnectionFailed, as are the next two)
├── CameraDenied    it may not be opened
├── CameraSize      it does not deliver images of the size asked for
├── CameraLost      it delivers no images any more
│   └── CameraEnded its recording has ended
└── CameraFrozen    it delivers the same image again and again
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robots.cameras.freeze import FreezeDetector
from robots.errors import ConnectionFailed, RobotError
from robots.spec import U8Image

SAMPLE = 8
"""Images are compared at every SAMPLEth pixel of both sides."""

REOPEN_S = 1.0
"""Pause before a source that failed is opened again: its cable may have been out."""


class CameraError(RobotError):
    """A camera cannot be used."""


class CameraMissing(CameraError, ConnectionFailed):
    """There is no such camera."""


class CameraDenied(CameraError, ConnectionFailed):
    """The camera may not be opened."""


class CameraSize(CameraError, ConnectionFailed):
    """The camera does not deliver images of the size asked for."""


class CameraLost(CameraError):
    """The camera delivers no images any more."""


class CameraEnded(CameraLost):
    """The recording has ended."""


class CameraFrozen(CameraError):
    """The camera delivers the same image again and again."""


@dataclass(frozen=True)
class Frame:
    """An image: when it was taken on the monotonic clock of this computer [ns], and (H, W, 3) uint8 RGB."""

    stamp_ns: int
    image: U8Image


class Source(Protocol):
    """Source of images. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """Name in messages, e.g. "opencv:0"."""

    @property
    def lens_fov_deg(self) -> float:
        """Vertical field of view as reported by the device after `open`; 0 where it reports none."""

    def open(self) -> None:
        """Opens the device. Raises CameraMissing, CameraDenied or CameraSize."""

    def grab(self) -> Frame:
        """Waits for the next image. Raises CameraLost, also when none comes for a while."""

    def close(self) -> None:
        """Releases the device; idempotent."""


@dataclass(frozen=True)
class CameraOptions:
    """Time limits of a camera.

    Attributes:
        open_s: time limit of opening, until the first image.
        stale_s: age of the newest image above which the camera is lost.
        frozen_s: the camera is frozen when its images are equal, pixel by pixel, for longer.
        close_s: time limit of closing.
    """

    open_s: float = 10.0
    stale_s: float = 1.0
    frozen_s: float = 0.5
    close_s: float = 2.0


class Camera:
    """Keeps the newest image of a source, which a thread of its own reads as fast as it delivers.

    A source that fails is opened again until it delivers, or is closed.

    Attributes:
        source: of the images.
        rotation_deg: clockwise rotation that makes the images upright: 0, 90, 180 or 270.
    """

    def __init__(self, source: Source, options: CameraOptions | None = None, rotation_deg: int = 0) -> None:
        if rotation_deg not in (0, 90, 180, 270):
            raise CameraSize(
                f"camera {source.name}: got a rotation of {rotation_deg}, expected 0, 90, 180 or 270 degrees"
            )
        self.source, self.rotation_deg, self._options = source, rotation_deg, options or CameraOptions()
        self._news = threading.Condition()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._freeze = self._detector()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def open(self) -> None:
        """Opens the source and waits for its first image; raises what opening raises, CameraLost without one."""
        self.close()
        self._frame, self._error, self._ended, self._freeze = None, None, threading.Event(), self._detector()
        self._thread = threading.Thread(target=self._run, args=(self._ended,), name=self.source.name, daemon=True)
        self._thread.start()
        try:
            self._wait(-1, self._options.open_s)
        except BaseException:
            self.close()
            raise

    def newest(self, after_ns: int = -1) -> Frame:
        """Returns the newest image; waits for one taken after `after_ns`.

        Raises:
            CameraLost: it was not opened, delivers nothing, or its newest image is stale.
            CameraFrozen: its images do not change.
        """
        frame = self._wait(after_ns, self._options.stale_s)
        if fault := self.fault:
            raise (CameraFrozen if "frozen" in fault else CameraLost)(fault)
        return frame

    @property
    def fault(self) -> str:
        """Current fault, beginning with "camera lost" or "camera frozen"; empty when there is none. Does not block."""
        with self._news:
            frame, error = self._frame, self._error
        if error is not None:
            return f"camera lost: {error}"
        return self._freeze.fault if frame else f"camera lost: {self.source.name} was not opened"

    def close(self) -> None:
        """Ends the thread and closes the source; idempotent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(self._options.close_s)
        with self._news:
            self._thread, self._frame = None, None

    def _wait(self, after_ns: int, limit_s: float) -> Frame:
        deadline = time.monotonic() + limit_s
        with self._news:
            while self._frame is None or self._frame.stamp_ns <= after_ns:
                if self._error is not None:
                    raise self._error
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._thread is None:
                    raise CameraLost(f"camera lost: {self.source.name} delivered nothing for {limit_s:.2f} s")
                self._news.wait(left_s)
            return self._frame

    def _detector(self) -> FreezeDetector:
        return FreezeDetector(self.source.name, self._options.stale_s, self._options.frozen_s)

    def _run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self.source.open()
                while not ended.is_set():
                    self._take(self.source.grab(), ended)
            except Exception as error:  # whatever a vendor's library raises is re-raised to the readers of the image
                self._fail(error, ended)
                if isinstance(error, CameraEnded):
                    return
            finally:
                self.source.close()
            ended.wait(REOPEN_S)

    def _fail(self, error: Exception, ended: threading.Event) -> None:
        known = isinstance(error, CameraError)
        with self._news:
            if not ended.is_set():
                self._error = error if known else CameraLost(f"{self.source.name}: {type(error).__name__}: {error}")
                self._news.notify_all()

    def _take(self, frame: Frame, ended: threading.Event) -> None:
        image = frame.image
        if self.rotation_deg:
            image = np.ascontiguousarray(np.rot90(image, -self.rotation_deg // 90))
        with self._news:
            before = self._frame
            if ended.is_set() or (before is not None and frame.stamp_ns <= before.stamp_ns):
                return
            self._freeze.take(np.ascontiguousarray(image[::SAMPLE, ::SAMPLE]), frame.stamp_ns)
            self._frame, self._error = Frame(frame.stamp_ns, image), None
            self._news.notify_all()
