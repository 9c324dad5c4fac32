"""Seconds that `ferry export-dataset` takes for a GB of recordings, by what the images are like.

    python -m benchmarks.trials.export_speed runs/trials/.../trial.mcap

How large a recording is depends on how well its images compress, and the export's time on how many there are: drawn
images without noise give many images a GB, a camera's few. So the recording's images are scaled to the size of a
camera, once as they are and once with a sensor's noise, and each is exported many times over. Times are of the process
(all its threads), and of the wall.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import tyro
from mcap_ros2.decoder import DecoderFactory

from benchmarks.machine import cpu
from evaluation.recordings.export_main import main as export
from evaluation.recordings.mcap_reader import records
from evaluation.recordings.mcap_writer import McapWriter, Topic

LITTLE_ENDIAN = b"\0\1\0\0"
RECORDS_A_CHUNK = 40


@dataclass(frozen=True)
class Benchmark:
    """Measures the export."""

    recording: Annotated[Path, tyro.conf.Positional]
    """A whole recording of a trial."""
    height: int = 224
    width: int = 384
    noise: tuple[float, ...] = (0.0, 3.0)
    """Standard deviations of the sensor's noise [grey levels]."""
    repeats: int = 40
    """Times the recording is exported into one dataset."""


def main() -> None:
    """Measures and prints a table."""
    args = tyro.cli(Benchmark, description=__doc__)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print("| noise | MB | images | wall [s/GB] | process [s/GB] | images/s |\n|---|---|---|---|---|---|")
    for noise in args.noise:
        with tempfile.TemporaryDirectory() as folder:
            scaled = Path(folder) / "trial.mcap"
            scale(args.recording, scaled, args.height, args.width, noise)
            wall_s, process_s = time.monotonic(), time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                export([*[str(scaled)] * args.repeats, "--output", f"{folder}/dataset"])
            wall_s, process_s = time.monotonic() - wall_s, time.process_time() - process_s
            size_gb = scaled.stat().st_size * args.repeats / 1e9
            info = json.loads((Path(folder) / "dataset/meta/info.json").read_text())
        images = info["total_frames"] * sum(feature["dtype"] == "video" for feature in info["features"].values())
        rates = f"{wall_s / size_gb:.0f} | {process_s / size_gb:.0f} | {images / wall_s:.0f}"
        print(f"| {noise:g} | {1e3 * size_gb:.0f} | {images} | {rates} |", flush=True)


def scale(source: Path, target: Path, height: int, width: int, noise: float) -> None:
    """Copies a recording with its images, and the robot's description of them, in another size."""
    writer, decoders, rng = McapWriter(target), DecoderFactory(), np.random.default_rng(0)
    for number, (schema, channel, message) in enumerate(records(source), 1):
        topic = Topic(channel.topic, schema.name, schema.data.decode(), encoding=channel.message_encoding)
        data = message.data
        decoder = decoders.decoder_for(channel.message_encoding, schema)
        if decoder and channel.topic.endswith("/image_raw"):
            data = _image(decoder(data), height, width, noise, rng)
        elif decoder and channel.topic.endswith("/embodiment"):
            body = json.loads(decoder(data).data)
            for camera in body["cameras"]:
                camera["height"], camera["width"] = height, width
            data = LITTLE_ENDIAN + _text(json.dumps(body))
        writer.add(topic, message.log_time, data)
        if number % RECORDS_A_CHUNK == 0:
            writer.flush()
    writer.close()


def _image(message: Any, height: int, width: int, noise: float, rng: np.random.Generator) -> bytes:
    """A sensor_msgs/Image in CDR with the image of another one, scaled."""
    image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    if noise:
        scaled = np.clip(scaled + rng.normal(0.0, noise, scaled.shape), 0, 255).astype(np.uint8)
    stamp = message.header.stamp
    data = struct.pack("<iI", stamp.sec, stamp.nanosec) + _text(message.header.frame_id)
    data = _aligned(data) + struct.pack("<II", height, width) + _text("rgb8") + b"\0"
    data = _aligned(data) + struct.pack("<II", 3 * width, scaled.size)
    return LITTLE_ENDIAN + data + scaled.tobytes()


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


if __name__ == "__main__":
    main()
