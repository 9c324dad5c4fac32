"""The video of a trial in simulation as seen from behind the robot, beside what the policy saw.

It is rendered after the trial from its recorded states, so that it costs the control loop nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from evaluation.errors import RecordError
from evaluation.records.episode import CHASE_FILE, EPISODE_FILE, POSTER_FILE, VIDEO_FILE, Episode
from evaluation.records.states import STATES_FILE, States
from evaluation.records.video import FRAMES_PER_S, Video, VideoFailed, write_jpeg
from evaluation.records.video_frame import PAPER, FloorImage, caption_band, words
from evaluation.stages.floor_map import FloorMap
from robots.spec import U8Image

CHASE_SIZE = (360, 640)
"""Height and width of the view from behind the robot [pixels]."""

ROW = 126
"""Height of the row below it: camera images and map [pixels]."""

PER_DECISION = 2
"""Frames for each decision: the robot moves half of the way between two of them."""

_MAP = 160  # least width of the map
NEEDED = (EPISODE_FILE, STATES_FILE, VIDEO_FILE)


def can_film(folder: Path) -> bool:
    """Returns True for the record of a trial in a simulated house, with its states and video."""
    if not all((folder / name).is_file() for name in NEEDED):
        return False
    scene = Episode.read(folder).scene
    return scene is not None and "house_seed" in scene.episode


def film(folder: Path, per_decision: int = PER_DECISION, *, randomise_appearance: bool = False) -> Path:
    """Writes the video and its poster into a trial's folder; returns the video.

    Raises:
        RecordError: this trial cannot be filmed.
        ModuleNotFoundError: the simulator is not installed.
    """
    images = list(frames(folder, per_decision, randomise_appearance=randomise_appearance))
    height, width = images[0].shape[:2]
    video = Video(folder / CHASE_FILE, (height, width), FRAMES_PER_S * per_decision)
    for image in images:
        video.add(image)
    write_jpeg(folder / POSTER_FILE, images[len(images) // 2])
    video.close()
    return folder / CHASE_FILE


def frames(folder: Path, per_decision: int, *, randomise_appearance: bool = False) -> Iterator[U8Image]:
    """Yields the frames of a trial's chase video, (H, W, 3) uint8 RGB; raises as `film`."""
    from simulation.episode import EpisodeSpec  # a robot's computer has no simulator
    from simulation.houses.cache import cached_house
    from simulation.twins.replay import Replay, between

    if not can_film(folder):
        needs = f"{', '.join(NEEDED)} of a trial in a simulated house, recorded with video"
        raise RecordError(str(folder), "another record", needs)
    record, states, seen = Episode.read(folder), States.read(folder), _video_frames(folder / VIDEO_FILE)
    assert record.scene is not None  # `can_film`
    episode = EpisodeSpec.from_json(record.scene.episode)
    floor = FloorImage(FloorMap.of_house(cached_house(episode.house_seed), episode.target, episode.objects), 300)
    path: list[tuple[float, float]] = []
    with Replay(record.embodiment, episode, CHASE_SIZE, randomise_appearance=randomise_appearance) as replay:
        for number, (image, step) in enumerate(zip(seen, record.steps, strict=False)):
            now, after = states.states[number : number + 2]
            path.append(now.pose[:2])
            row = _row([image[y : y + h, x : x + w] for x, y, w, h in states.cameras], floor.draw(path, now.pose[2]))
            band = caption_band(words(number + 1, step.action, step.probability, step.why_not), CHASE_SIZE[1])
            for part in range(per_decision):
                replay.show(between(now.pose, after.pose, part / per_decision), now.state)
                yield np.concatenate([replay.frame(1 / per_decision), row, band], axis=0)


def _video_frames(path: Path) -> Iterator[U8Image]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield np.asarray(frame[..., ::-1], np.uint8)
    finally:
        capture.release()


def _row(cameras: Sequence[U8Image], floor: U8Image) -> U8Image:
    """Returns (ROW, CHASE_SIZE[1], 3) RGB: the cameras' images side by side, and the map at their right."""
    most = (CHASE_SIZE[1] - _MAP) // max(1, len(cameras))
    cells = [_fitted(camera, ROW, min(camera.shape[1], most)) for camera in cameras]
    rest = CHASE_SIZE[1] - sum(cell.shape[1] for cell in cells)
    return np.concatenate([*cells, _fitted(floor, ROW, rest)], axis=1)


def _fitted(image: U8Image, height: int, width: int) -> U8Image:
    """Returns the image as large as it fits into (height, width, 3), on paper."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    sheet[top : top + size[1], left : left + size[0]] = small
    return sheet


def write_animation(path: Path, images: Sequence[U8Image], frames_per_s: float, height: int, quality: int = 75) -> None:
    """Writes frames as an animation, .webp or .gif, `height` pixels high, that repeats for ever.

    Raises:
        VideoFailed: OpenCV cannot write it.
    """
    if path.suffix not in (".webp", ".gif") or not hasattr(cv2, "imwriteanimation"):
        raise VideoFailed(f"{path.name}: expected .webp or .gif and OpenCV 4.11 or later; here is {cv2.__version__}")
    animation = cv2.Animation()
    scale = height / images[0].shape[0]
    size = round(scale * images[0].shape[1]), height
    animation.frames = [cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_AREA) for image in images]
    animation.durations = [round(1000 / frames_per_s)] * len(images)
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, quality]):
        raise VideoFailed(f"{path.name}: OpenCV could not write it")
