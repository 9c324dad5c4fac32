"""Writes a LeRobotDataset v3.0: parquet tables and one video a camera, readable by `lerobot` 0.4 and newer.

Layout: meta/info.json, meta/stats.json, meta/tasks.parquet, meta/episodes/, data/ and videos/, in files that grow to a
size and are then followed by the next (huggingface/lerobot, src/lerobot/datasets, Apache-2.0).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.errors import FolderError
from evaluation.recordings import lerobot_stats
from evaluation.recordings.frames import Frame
from evaluation.recordings.lerobot_stats import Stats
from robots.processes.scheduling import Scheduling
from robots.spec import U8Image

FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = "videos/{video_key}/" + FILE + ".mp4"
EPISODES_PATH = Path("meta/episodes/chunk-000/file-000.parquet")
CHUNK_FILES, DATA_MB, VIDEO_MB = 1000, 100, 200
CODEC, CODEC_NAME = "libsvtav1", "av1"
CODEC_OPTIONS = {"preset": "12", "crf": "30", "g": "2"}
"""SVT-AV1's fastest; it has threads of its own. Every second image is a key frame, for readers of single images."""

NUMBERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
STATE, ACTION, IMAGE = "observation.state", "action", "observation.images."


@dataclass(frozen=True)
class Layout:
    """What all episodes of a dataset share.

    Attributes:
        robot: name of its type.
        fps: frames a second.
        cameras: name -> (height, width).
        state, action: names of their entries.
    """

    robot: str
    fps: int
    cameras: Mapping[str, tuple[int, int]]
    state: tuple[str, ...]
    action: tuple[str, ...]


class VideoFiles:
    """One camera's videos: episodes follow one another in a file, until it is large enough."""

    def __init__(self, root: Path, key: str, layout: Layout, size: tuple[int, int]) -> None:
        self._root, self._key, self._fps, self._size = root, key, layout.fps, size
        self.file, self.frames = -1, 0
        self._scheduling = Scheduling()
        self._container: Any = None
        self._stream: Any = None

    def begin(self) -> None:
        """Begins an episode, in the next file where this one is large."""
        if self._container is None or self._bytes() > VIDEO_MB * 2**20:
            self.close()
            self.file, self.frames = self.file + 1, 0
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.environ.setdefault("SVT_LOG", "1")  # the encoder reads it: errors only, not its configuration
            self._container = av.open(str(self.path), "w")
            self._stream = self._container.add_stream(CODEC, rate=self._fps, options=CODEC_OPTIONS)
            self._stream.height, self._stream.width = self._size
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = Fraction(1, self._fps)

    def _bytes(self) -> int:
        """Size of the present file; an encoder that holds its first images back has not made it yet."""
        return self.path.stat().st_size if self.path.exists() else 0

    def add(self, image: U8Image) -> None:
        """Adds one image of (H, W, 3) uint8 RGB."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self.frames, Fraction(1, self._fps)
        self._container.mux(self._stream.encode(frame))
        self._scheduling.restore()
        self.frames += 1

    def close(self) -> None:
        """Completes the file."""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
            self._scheduling.restore()

    @property
    def path(self) -> Path:
        """Of the present file."""
        chunk, file = divmod(self.file, CHUNK_FILES)
        return self._root / VIDEO_PATH.format(video_key=self._key, chunk_index=chunk, file_index=file)


@dataclass
class LeRobotWriter:
    """A dataset that is being written into the new folder `root`; FolderError where that holds something."""

    root: Path
    layout: Layout
    episodes: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    total: int = 0
    _stats: list[dict[str, Stats]] = field(default_factory=list)
    _rows: list[pa.Table] = field(default_factory=list)
    _bytes: int = 0
    _data_file: int = 0
    _videos: dict[str, VideoFiles] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.root.exists() and any(self.root.iterdir()):
            raise FolderError(f"{self.root}: got a folder that is not empty, expected a new one for the dataset")
        self._videos = {
            name: VideoFiles(self.root, IMAGE + name, self.layout, size) for name, size in self.layout.cameras.items()
        }

    def add(self, task: str, frames: Iterable[Frame], state: Any) -> int:
        """Adds an episode; `state` makes a frame's state vector from its observation. Returns its number of frames."""
        for video in self._videos.values():
            video.begin()
        began = {name: video.frames for name, video in self._videos.items()}
        states, actions = list[npt.NDArray[np.float32]](), list[npt.NDArray[np.float32]]()
        samples: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in self._videos}
        for frame in frames:
            states.append(state(frame.observation))
            actions.append(frame.action)
            for name, video in self._videos.items():
                video.add(frame.observation.images[name])
                if len(states) % max(1, len(samples[name]) // lerobot_stats.IMAGES_OF_AN_EPISODE) == 0:
                    samples[name].append(lerobot_stats.image_sample(frame.observation.images[name]))
        if states:
            self._complete(task, np.stack(states), np.stack(actions), samples, began)
        return len(states)

    def close(self) -> None:
        """Writes what describes the dataset; without this it cannot be read."""
        for video in self._videos.values():
            video.close()
        self._write_data()
        (self.root / EPISODES_PATH).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.episodes), self.root / EPISODES_PATH)
        self._write_tasks()
        joined = {name: lerobot_stats.joined([one[name] for one in self._stats]) for name in self._stats[0]}
        shown = {name: lerobot_stats.as_json(one, name.startswith(IMAGE)) for name, one in joined.items()}
        self._write_json("stats", shown)
        self._write_json("info", self._info())

    def _complete(
        self,
        task: str,
        states: npt.NDArray[np.float32],
        actions: npt.NDArray[np.float32],
        samples: Mapping[str, Sequence[npt.NDArray[np.float32]]],
        began: Mapping[str, int],
    ) -> None:
        count, number = len(states), len(self.episodes)
        task_index = self.tasks.setdefault(task, len(self.tasks))
        index = np.arange(count)
        numbers: dict[str, npt.NDArray[Any]] = {
            "timestamp": (index / self.layout.fps).astype(np.float32),
            "frame_index": index,
            "episode_index": np.full(count, number),
            "index": index + self.total,
            "task_index": np.full(count, task_index),
        }
        columns = {STATE: _lists(states), ACTION: _lists(actions)} | {k: pa.array(v) for k, v in numbers.items()}
        made = {STATE: lerobot_stats.stats(states, count), ACTION: lerobot_stats.stats(actions, count)}
        made |= {name: lerobot_stats.stats(value[:, None], count) for name, value in numbers.items()}
        made |= {IMAGE + name: lerobot_stats.stats(np.concatenate(one), count) for name, one in samples.items()}
        data = dict(zip(("data/chunk_index", "data/file_index"), divmod(self._data_file, CHUNK_FILES)))
        episode = {"episode_index": number, "tasks": [task], "length": count, **data}
        episode |= {"dataset_from_index": self.total, "dataset_to_index": self.total + count}
        for name, video in self._videos.items():
            key, (chunk, file) = f"videos/{IMAGE}{name}", divmod(video.file, CHUNK_FILES)
            times = {"from_timestamp": began[name] / self.layout.fps, "to_timestamp": video.frames / self.layout.fps}
            places = {"chunk_index": chunk, "file_index": file, **times}
            episode |= {f"{key}/{part}": value for part, value in places.items()}
        for name, one in made.items():
            shown = lerobot_stats.as_json(one, name.startswith(IMAGE))
            episode |= {f"stats/{name}/{part}": value for part, value in shown.items()}
        self.episodes.append(episode | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        self._stats.append(made)
        self._rows.append(pa.table(columns))
        self.total, self._bytes = self.total + count, self._bytes + states.nbytes + actions.nbytes + 40 * count
        if self._bytes > DATA_MB * 2**20:
            self._write_data()

    def _write_data(self) -> None:
        if self._rows:
            chunk, file = divmod(self._data_file, CHUNK_FILES)
            path = self.root / DATA_PATH.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.concat_tables(self._rows), path)
            self._rows, self._bytes, self._data_file = [], 0, self._data_file + 1

    def _write_tasks(self) -> None:
        """The table of tasks, which pandas reads with the text as its index."""
        table = pa.table({"task_index": pa.array(self.tasks.values(), pa.int64()), "task": pa.array(self.tasks.keys())})
        kind = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
        number = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
        pandas = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                {"name": "task_index", "field_name": "task_index", **number},
                {"name": "task", "field_name": "task", **kind},
            ],
            "pandas_version": "2.2.0",
        }
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), self.root / "meta/tasks.parquet")

    def _write_json(self, name: str, data: object) -> None:
        (self.root / "meta" / f"{name}.json").write_text(json.dumps(data, indent=4) + "\n", encoding="utf-8")

    def _info(self) -> dict[str, Any]:
        features: dict[str, Any] = {
            STATE: {"dtype": "float32", "shape": [len(self.layout.state)], "names": list(self.layout.state)},
            ACTION: {"dtype": "float32", "shape": [len(self.layout.action)], "names": list(self.layout.action)},
        }
        for name, size in self.layout.cameras.items():
            features[IMAGE + name] = _video_feature(size, self.layout.fps)
        for name in NUMBERS:
            dtype = "float32" if name == "timestamp" else "int64"
            features[name] = {"dtype": dtype, "shape": [1], "names": None}
        return {
            "codebase_version": "v3.0",
            "robot_type": self.layout.robot,
            "fps": self.layout.fps,
            "features": features,
            "total_episodes": len(self.episodes),
            "total_frames": self.total,
            "total_tasks": len(self.tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
        }


def _video_feature(size: tuple[int, int], fps: int) -> dict[str, Any]:
    height, width = size
    info = {
        "video.height": height,
        "video.width": width,
        "video.codec": CODEC_NAME,
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
    return {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": info}


def _lists(rows: npt.NDArray[np.float32]) -> pa.Array:
    """(N, n) as a column of lists of n."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
