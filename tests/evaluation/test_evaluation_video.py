"""Videos that browsers play, filmstrips, and what one frame shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import ScriptedSession, fast_fake

from evaluation.records.video import Video, VideoFailed, filmstrip, to_height, write_jpeg
from evaluation.records.video_frame import CAPTION, HEIGHT, PATH, FloorImage, caption, floor_height, video_frame
from evaluation.stages.floor_map import Box, FloorMap
from evaluation.step import Step
from robots.command import MoveBase
from robots.robot import Sent
from robots.spec import U8Image


def plain(value: int, height: int = 40, width: int = 60) -> U8Image:
    return np.full((height, width, 3), value, np.uint8)


def read(path: Path) -> list[U8Image]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(frame[..., ::-1])


def test_a_video_holds_every_frame_in_vp8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "video.webm"
    video = Video(path, (40, 60), frames_per_s=5.0)
    for value in (20, 120, 220):
        video.add(plain(value))
    assert not path.exists()  # half a video is no video
    video.close()
    frames = read(path)
    assert [round(float(frame.mean()), -1) for frame in frames] == [20, 120, 220]
    capture = cv2.VideoCapture(str(path))
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") == b"VP80"
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0)
    assert path.read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML, as WebM begins
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")


def test_colours_come_out_as_they_went_in(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.webm", (40, 60))
    video.add(np.broadcast_to(np.array([200, 40, 40], np.uint8), (40, 60, 3)).copy())
    video.close()
    red, green, blue = read(tmp_path / "a.webm")[0].reshape(-1, 3).mean(axis=0)
    assert red > 170
    assert green < 80
    assert blue < 80


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.webm", (40, 60))
    with pytest.raises(VideoFailed, match=r"a.webm: got a frame of shape \(20, 60, 3\), expected \(40, 60, 3\)"):
        video.add(plain(0, height=20))
    video.close()


def test_a_video_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere/\.part-a\.webm"):
        Video(tmp_path / "nowhere" / "a.webm", (40, 60))


def test_a_filmstrip_shows_the_first_the_last_and_some_between() -> None:
    images = [plain(10 * number) for number in range(21)]
    strip = filmstrip(images, count=5, height=40, gap=2)
    assert strip.shape == (40, 5 * 60 + 4 * 2, 3)
    assert [int(strip[0, 62 * cell, 0]) for cell in range(5)] == [0, 50, 100, 150, 200]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_short_run_has_a_short_filmstrip(number: int) -> None:
    assert filmstrip([plain(5)] * number, count=6, height=40, gap=0).shape == (40, 60 * number, 3)


def test_no_images_make_no_filmstrip() -> None:
    with pytest.raises(VideoFailed, match="got no images"):
        filmstrip([])


@pytest.mark.parametrize(("size", "width"), [((40, 60), 126), ((720, 1280), 150), ((84, 144), 144), ((3, 7), 196)])
def test_images_keep_their_proportions_and_an_even_width(size: tuple[int, int], width: int) -> None:
    assert to_height(plain(9, *size), 84).shape == (84, width, 3)


def test_a_jpeg_can_be_read_again(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", plain(123))
    assert float(cv2.imread(str(tmp_path / "a.jpg")).mean()) == pytest.approx(123, abs=2)
    assert [one.name for one in tmp_path.iterdir()] == ["a.jpg"]


FLOOR = FloorMap((0.0, 0.0, 4.0, 2.0), boxes=(Box("target", "sofa_0", 3.0, 1.0, 0.5, 0.5, 0.0),))


def count(image: U8Image, colour: tuple[int, int, int]) -> int:
    return int((image == np.array(colour, np.uint8)).all(axis=-1).sum())


def test_the_floor_shows_the_target_and_the_path() -> None:
    floor = FloorImage(FLOOR, height=108)  # 50 pixels per metre
    empty = floor.draw([])
    assert empty.shape == (108, 208, 3)
    assert 2300 < count(empty, (220, 110, 40)) <= 51 * 51
    driven = floor.draw([(0.5, 0.5), (2.0, 0.5)])
    assert count(driven, PATH) > 60
    assert count(floor.draw([]), PATH) == 0  # drawing leaves nothing behind


def test_north_is_up() -> None:
    image = FloorImage(FloorMap((0, 0, 2, 2), boxes=(Box("target", "a_0", 1.0, 1.8, 0.2, 0.2, 0.0),)), 108).draw([])
    rows = np.argwhere((image == np.array((220, 110, 40), np.uint8)).all(axis=-1))[:, 0]
    assert rows.max() < 40


def step_of(sent: Sent) -> Step:
    robot = fast_fake()
    with robot:
        observation = robot.observe()
    return Step(observation, ScriptedSession(["move_ahead"]).act(observation), sent, 0)


def test_a_frame_shows_both_cameras_the_floor_and_the_decision() -> None:
    step = step_of(Sent(MoveBase(0.2)))
    bare = video_frame(step, 3)
    assert bare.shape == (HEIGHT + CAPTION, 2 * 216, 3)
    with_floor = video_frame(step, 3, FloorImage(FLOOR, floor_height(step)).draw([]))
    assert with_floor.shape[0] == 2 * HEIGHT + CAPTION
    assert with_floor.shape[1] > 216
    assert with_floor.shape[1] % 2 == 0
    assert with_floor.shape[0] % 2 == 0
    assert bare[HEIGHT:].min() < 100  # there are words in the caption


def test_a_camera_is_named_in_its_image() -> None:
    step = step_of(Sent(MoveBase(0.2)))
    navigation, manipulation = (to_height(image, HEIGHT) for image in step.observation.images.values())
    shown = video_frame(step, 3)[:HEIGHT]
    for at, image in ((0, navigation), (216, manipulation)):
        written = (shown[:, at : at + 216] != image).any(axis=-1)
        assert written[:18].sum() > 100
        assert not written[18:].any()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (Sent(MoveBase(0.2)), "3 move_ahead 100 %"),
        (Sent(MoveBase(0.2), blocked="contact with wall_1"), "3 move_ahead 100 % (blocked: contact with wall_1)"),
        (Sent(MoveBase(0.2), refused="stale"), "3 move_ahead 100 % (refused: stale)"),
    ],
)
def test_a_caption_says_what_became_of_the_decision(sent: Sent, words: str) -> None:
    assert caption(step_of(sent), 3) == words
