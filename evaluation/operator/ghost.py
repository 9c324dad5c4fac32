"""The ghost: the reference image of a start, laid over the live camera, and how far the two are apart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.errors import FolderError
from evaluation.plans.operation import Operation
from robots.spec import U8Image

WIDTH = 640
"""Images are compared at this width, so that a limit in pixels holds for any camera."""
SMALL = 320
TEXTURE = 12.0
"""Least gradient of a grey value for a pixel whose displacement can be seen."""
GREY = 30.0
"""Difference of grey values from which a pixel looks otherwise, after equal brightness."""
QUANTILE = 75
ROWS, COLUMNS = 6, 8
"""Tiles in which a change is looked for."""
FOLDER = "starts"


@dataclass(frozen=True)
class Distance:
    """How far the live image is from the reference.

    Attributes:
        shift_px: displacement of the image's content: of its textured pixels three quarters moved less
            [pixels of an image 640 wide].
        changed: fraction of pixels that look otherwise, in the tile of the image where it is largest: a cup that was
            moved changes one place, and hardly the image.
    """

    shift_px: float
    changed: float

    def within(self, rules: Operation) -> bool:
        """True if a trial may start."""
        near = rules.start_shift_px <= 0 or self.shift_px <= rules.start_shift_px
        return near and (rules.start_changed <= 0 or self.changed <= rules.start_changed)


def distance(reference: U8Image, live: U8Image) -> Distance:
    """Measures how far `live` is from `reference`, both (H, W, 3) RGB of one shape; dense optical flow (DIS)."""
    one, other = _grey(reference), _grey(live)
    if one.shape != other.shape:
        return Distance(float(WIDTH), 1.0)
    other = np.clip(other * float(np.median((one + 1) / (other + 1))), 0, 255)  # equal light
    flow: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(  # type: ignore[attr-defined]
        one.astype(np.uint8), other.astype(np.uint8), None
    )
    gradient = np.hypot(cv2.Sobel(one, cv2.CV_32F, 1, 0), cv2.Sobel(one, cv2.CV_32F, 0, 1)) / 4
    textured = gradient > TEXTURE
    moved = np.hypot(flow[..., 0], flow[..., 1])[textured]
    shift = float(np.percentile(moved, QUANTILE)) if moved.size else 0.0
    rows = np.array_split(np.abs(one - other) > GREY, ROWS)
    changed = max(float(tile.mean()) for row in rows for tile in np.array_split(row, COLUMNS, axis=1))
    return Distance(round(shift * WIDTH / SMALL, 2), round(changed, 4))


def _grey(image: U8Image) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height = round(SMALL * grey.shape[0] / grey.shape[1])
    small = cv2.GaussianBlur(cv2.resize(grey, (SMALL, height), interpolation=cv2.INTER_AREA), (3, 3), 0)
    return np.asarray(small, np.float32)


class References:
    """Reference images of the starts, in the folder of the trials; an older one is kept beside its successor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._read: dict[Path, U8Image] = {}

    def newest(self, task: str, start: str, camera: str) -> Path | None:
        """Returns the file of the reference in force; None without one."""
        found = sorted(self._folder.glob(f"{_stem(task, start, camera)}.*.png"), key=_number)
        return found[-1] if found else None

    def image(self, task: str, start: str, camera: str) -> U8Image | None:
        """Returns the reference in force; None without one."""
        path = self.newest(task, start, camera)
        if path is None:
            return None
        if path not in self._read:
            self._read = {path: _read_image(path)}
        return self._read[path]

    def keep(self, task: str, start: str, camera: str, image: U8Image) -> Path:
        """Makes `image` the reference; returns its file."""
        before = self.newest(task, start, camera)
        number = _number(before) + 1 if before else 1
        path = self._folder / f"{_stem(task, start, camera)}.{number}.png"
        _write(path, image)
        return path

    def keep_start(self, trial: int, attempt: int, camera: str, image: U8Image) -> Path:
        """Keeps how a trial began."""
        path = self._folder / f"trial-{trial:04d}-{attempt}-{_safe(camera)}.jpg"
        _write(path, image)
        return path


def _read_image(path: Path) -> U8Image:
    read: Any = cv2.imread(str(path))
    if read is None:
        raise FolderError(f"{path}: got no image; remove the file and keep a new reference")
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def _write(path: Path, image: U8Image) -> None:
    path.parent.mkdir(exist_ok=True)
    data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    beside = path.with_suffix(f"{path.suffix}.new")
    beside.write_bytes(data.tobytes())
    beside.replace(path)


def _number(path: Path) -> int:
    return int(path.name.split(".")[-2])


def _stem(task: str, start: str, camera: str) -> str:
    return "--".join(_safe(word) for word in (task, start, camera))


def _safe(word: str) -> str:
    """A word of a file's name; words that differ stay apart, also those of other alphabets."""
    safe = re.sub(r"[^A-Za-z0-9_]+", "_", word)
    return safe if safe == word else f"{safe}-{hashlib.sha256(word.encode()).hexdigest()[:8]}"
