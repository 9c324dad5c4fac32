"""Videos that browsers play (VP8 in WebM) and filmstrips (JPEG)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from evaluation.errors import EvaluationError
from robots.spec import U8Image

FRAMES_PER_S = 3.0
"""Decisions shown per second; at twice that, nobody can read them."""


class VideoFailed(EvaluationError):
    """This machine's OpenCV cannot write the video."""


class Video:
    """Writes frames of one size, (H, W, 3) uint8 RGB with even sides, into a .webm that appears when it is closed."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float = FRAMES_PER_S) -> None:
        self.path, self._size = path, size
        self._part = path.with_name(f".part-{path.name}")
        self._part.write_bytes(bytes(1))  # raises if the disk is full or gone; OpenCV would not
        with _silence():
            code = cv2.VideoWriter.fourcc(*"VP80")
            self._writer = cv2.VideoWriter(str(self._part), code, frames_per_s, (size[1], size[0]))
        if not self._writer.isOpened():
            raise VideoFailed(
                f"{path.name}: got no VP8 encoder from OpenCV {cv2.__version__}, expected one with FFmpeg"
            )

    def add(self, frame: U8Image) -> None:
        """Appends a frame."""
        if frame.shape != (*self._size, 3):
            raise VideoFailed(f"{self.path.name}: got a frame of shape {frame.shape}, expected {(*self._size, 3)}")
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def close(self) -> None:
        """Finishes the file and moves it into place."""
        self._writer.release()
        if self._part.exists():
            os.replace(self._part, self.path)


@contextmanager
def _silence() -> Iterator[None]:
    """Hides FFmpeg's message on stderr that WebM has no codec tags; it is harmless, and no logger can suppress it."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def filmstrip(images: Sequence[U8Image], count: int = 6, height: int = 84, gap: int = 2) -> U8Image:
    """Returns `count` evenly spaced images side by side, with the first and the last; (height, W, 3) RGB."""
    if not images:
        raise VideoFailed("filmstrip: got no images, expected at least one")
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    cells = [to_height(images[index], height) for index in chosen]
    bar = np.full((height, gap, 3), 255, np.uint8)
    strip = [part for cell in cells for part in (bar, cell)][1:]
    return np.concatenate(strip, axis=1)


def to_height(image: U8Image, height: int) -> U8Image:
    """Returns the image resized to `height` pixels, with its aspect ratio and an even width; (height, W, 3)."""
    width = max(2, round(image.shape[1] * height / image.shape[0] / 2) * 2)
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def write_jpeg(path: Path, image: U8Image, quality: int = 80) -> None:
    """Writes (H, W, 3) uint8 RGB as JPEG, atomically."""
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise VideoFailed(f"{path.name}: OpenCV could not encode an image of shape {image.shape}")
    temporary = path.with_name(f".part-{path.name}")
    temporary.write_bytes(data.tobytes())
    os.replace(temporary, path)
