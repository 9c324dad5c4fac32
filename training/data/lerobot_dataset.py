"""Reads a LeRobotDataset v3: what `ferry export-dataset` writes, and other people's; with pyarrow and PyAV alone.

Layout (huggingface/lerobot, src/lerobot/datasets): `meta/info.json`, `meta/episodes/`, `data/` and `videos/`.
An episode is some rows of a table, and of each camera a part of a video, or images in the table (dtype "image").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from robots.spec import U8Image
from training.errors import DataError

INFO = Path("meta/info.json")
VERSION = "v3."
STATE, ACTION, IMAGE = "observation.state", "action", "observation.images."
EXPECTED = "a LeRobotDataset v3"
INSTALL = "pyarrow and av: pip install 'ferry[dataset]'"


@dataclass(frozen=True)
class VideoPart:
    """Where an episode's images of one camera are.

    Attributes:
        file: the video.
        from_s: time of the first image in it.
    """

    file: Path
    from_s: float


@dataclass(frozen=True)
class LeRobotEpisode:
    """One episode.

    Attributes:
        number: its `episode_index`.
        instruction: its first task.
        length: frames.
        table: parquet file with its rows.
        videos: feature -> part, of cameras that are stored as videos.
    """

    number: int
    instruction: str
    length: int
    table: Path
    videos: Mapping[str, VideoPart]


def is_lerobot(folder: Path) -> bool:
    """Whether a folder holds a LeRobotDataset, of whatever version."""
    return (folder / INFO).is_file()


@dataclass(frozen=True)
class LeRobotDataset:
    """A dataset on disk.

    Attributes:
        root: its folder.
        fps: frames a second.
        features: as in info.json.
        episodes: in order.
    """

    root: Path
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    episodes: tuple[LeRobotEpisode, ...]

    @classmethod
    def open(cls, root: Path) -> LeRobotDataset:
        """Reads what describes a dataset.

        Raises:
            DataError: pyarrow is not installed, or the folder is of another layout or version.
        """
        try:
            info = json.loads((root / INFO).read_text(encoding="utf-8"))
            version = str(info["codebase_version"])
            if not version.startswith(VERSION):
                raise DataError(f"{root}: got version {version}, expected v3.0; lerobot's own tool converts older ones")
            episodes = tuple(_episode(root, info, row) for row in _episode_rows(root))
            return cls(root, float(info["fps"]), info["features"], episodes)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise _damaged(root, error) from error

    @property
    def cameras(self) -> tuple[str, ...]:
        """Features that are images."""
        return tuple(name for name in self.features if name.startswith(IMAGE))

    def names(self, feature: str) -> tuple[str, ...]:
        """Names of the numbers of a feature; empty where the dataset gives none. DataError where there is no such."""
        names = self._feature(feature).get("names") or ()
        if isinstance(names, Mapping):  # e.g. {"motors": [...]}
            names = [name for group in names.values() for name in group]
        return tuple(str(name) for name in names)

    def numbers(self, episode: LeRobotEpisode, feature: str) -> npt.NDArray[np.float32]:
        """Reads a feature of an episode, (T, n) float32. DataError for another number of rows than it should have."""
        self._feature(feature)
        column = self._column(episode, feature)
        try:
            return np.array(column.to_pylist(), np.float32).reshape(episode.length, -1)
        except ValueError as error:
            raise _damaged(episode.table, error) from error

    def images(self, episode: LeRobotEpisode, camera: str) -> Iterator[U8Image]:
        """Yields the (H, W, 3) uint8 RGB images of an episode; `camera` is the whole name of the feature.

        Raises:
            DataError: there is no such camera, its file is damaged, or an image is missing.
        """
        kind = self._feature(camera)["dtype"]
        if kind == "video":
            yield from _video_images(episode.videos[camera], episode.length, self.fps)
        elif kind == "image":
            for cell in self._column(episode, camera):
                yield _decoded(episode.table, cell.as_py()["bytes"])
        else:
            raise DataError(f"{self.root}: got dtype '{kind}' of {camera}, expected 'video' or 'image'")

    def _feature(self, name: str) -> Mapping[str, Any]:
        if name not in self.features:
            raise DataError(f"{self.root}: got features {', '.join(self.features)}, expected '{name}' among them")
        return self.features[name]

    def _column(self, episode: LeRobotEpisode, name: str) -> Any:
        table = _read_table(episode.table, [name], [("episode_index", "=", episode.number)])
        if len(table) != episode.length:
            raise DataError(
                f"{episode.table}: got {len(table)} rows of episode {episode.number}, expected {episode.length}"
            )
        return table.column(name)


def _episode_rows(root: Path) -> Iterator[dict[str, Any]]:
    files = sorted((root / "meta/episodes").rglob("*.parquet"))
    if not files:
        raise DataError(f"{root}: got no meta/episodes, expected {EXPECTED}")
    for file in files:
        names = [name for name in _schema(file) if not name.startswith("stats/")]
        yield from _read_table(file, names).to_pylist()


def _episode(root: Path, info: Mapping[str, Any], row: Mapping[str, Any]) -> LeRobotEpisode:
    videos = {}
    for key, feature in info["features"].items():
        if feature["dtype"] == "video":
            place = {part: row[f"videos/{key}/{part}"] for part in ("chunk_index", "file_index", "from_timestamp")}
            file = root / info["video_path"].format(video_key=key, **place)
            videos[key] = VideoPart(file, float(place["from_timestamp"]))
    chunk, file_index = row["data/chunk_index"], row["data/file_index"]
    return LeRobotEpisode(
        number=int(row["episode_index"]),
        instruction=str(row["tasks"][0]) if row["tasks"] else "",
        length=int(row["length"]),
        table=root / info["data_path"].format(chunk_index=chunk, file_index=file_index),
        videos=videos,
    )


def _schema(file: Path) -> list[str]:
    pq = _parquet(file)
    try:
        return list(pq.read_schema(file).names)
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _read_table(file: Path, columns: list[str], filters: list[tuple[str, str, int]] | None = None) -> Any:
    pq = _parquet(file)
    try:
        return pq.read_table(file, columns=columns, filters=filters)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are kinds of these
        raise _damaged(file, error) from error


def _parquet(file: Path) -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(f"{file}: got {error}, expected {INSTALL}") from error
    return pq


def _video_images(part: VideoPart, count: int, fps: float) -> Iterator[U8Image]:
    """Yields `count` images from a moment of a video on; each is where its number says, or the dataset is damaged."""
    try:
        import av
    except ImportError as error:
        raise DataError(f"{part.file}: got {error}, expected {INSTALL}") from error
    number = 0
    try:
        with av.open(str(part.file)) as container:
            stream = container.streams.video[0]
            container.seek(round(part.from_s / float(stream.time_base or 1)), stream=stream)
            for frame in container.decode(stream):
                late_s = float(frame.time) - (part.from_s + number / fps)
                if late_s < -0.5 / fps:
                    continue  # of the episode before: a seek ends at the image that can be decoded by itself
                if late_s > 0.5 / fps:
                    break
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                number += 1
                if number == count:
                    return
    except (av.FFmpegError, IndexError, TypeError) as error:
        raise _damaged(part.file, error) from error
    raise DataError(f"{part.file}: got {number} images from {part.from_s:g} s on, expected {count}")


def _decoded(file: Path, data: bytes | None) -> U8Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DataError(f"{file}: got an image that is neither JPEG nor PNG, expected one in the table itself")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: got {type(error).__name__} {error}, expected {EXPECTED}")
