from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hosts import wait_for
from support.pushed_camera import Pushed
from support.stretch_fake import running_fake

from robots.cameras.camera import (
    Camera,
    CameraDenied,
    CameraFrozen,
    CameraLost,
    CameraMissing,
    CameraOptions,
    CameraSize,
    Frame,
)
from robots.cameras.sources import OpenCV, RealSense, source
from robots.cameras.synthetic import Synthetic
from robots.errors import ConnectionFailed
from robots.spec import U8Image

SIZE = (48, 64, 3)
QUICK = CameraOptions(open_s=2.0, stale_s=0.3, frozen_s=0.3)


def plain_image(level: int) -> U8Image:
    return np.full(SIZE, level, np.uint8)


@pytest.fixture
def pushed() -> Iterator[tuple[Pushed, Camera]]:
    feed = Pushed("topic", wait_s=5.0)
    camera = Camera(feed, QUICK)
    feed.push(Frame(1, plain_image(0)))
    camera.open()
    yield feed, camera
    feed.push(Frame(time.monotonic_ns(), plain_image(0)))  # so that the thread ends at once
    camera.close()


def test_newest_is_never_an_old_image(pushed: tuple[Pushed, Camera]) -> None:
    feed, camera = pushed
    first = time.monotonic_ns()
    feed.push(Frame(first, plain_image(10)))
    assert camera.newest(1).image[0, 0, 0] == 10
    threading.Timer(0.05, lambda: feed.push(Frame(first + 1, plain_image(20)))).start()
    assert camera.newest(first).image[0, 0, 0] == 20  # waited for one taken later
    feed.push(Frame(first - 5, plain_image(30)))  # an image from the past
    time.sleep(0.05)
    assert camera.newest().image[0, 0, 0] == 20


def test_camera_without_images_is_lost(pushed: tuple[Pushed, Camera]) -> None:
    feed, camera = pushed
    feed.push(Frame(time.monotonic_ns(), plain_image(10)))
    stamp_ns = camera.newest(1).stamp_ns
    with pytest.raises(CameraLost, match=r"topic delivered nothing for 0\.30 s"):
        camera.newest(stamp_ns)
    time.sleep(0.1)
    assert camera.fault.startswith("camera lost: topic delivered nothing for 0.")


def test_camera_that_repeats_an_image_is_frozen(pushed: tuple[Pushed, Camera]) -> None:
    feed, camera = pushed
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        feed.push(Frame(time.monotonic_ns(), plain_image(10)))
        time.sleep(0.02)
    assert camera.fault.startswith("camera frozen: topic delivers the same image for 0.")
    with pytest.raises(CameraFrozen, match="same image"):
        camera.newest()
    feed.push(Frame(time.monotonic_ns(), plain_image(11)))
    wait_for(lambda: camera.fault == "")


def test_images_are_turned_upright() -> None:
    image = plain_image(0)
    image[0, :] = 200  # the sensor's upper edge
    feed = Pushed("topic")
    for turned, edge in ((0, np.s_[0, :]), (90, np.s_[:, -1]), (180, np.s_[-1, :]), (270, np.s_[:, 0])):
        camera = Camera(feed, QUICK, turned)
        feed.push(Frame(time.monotonic_ns(), image))
        camera.open()
        upright = camera.newest().image
        feed.push(Frame(time.monotonic_ns(), image))
        camera.close()
        assert upright.shape == (SIZE if turned % 180 == 0 else (64, 48, 3))
        assert (upright[edge] == 200).all()


def test_other_turns_are_refused() -> None:
    with pytest.raises(CameraSize, match="got a rotation of 45"):
        Camera(Pushed("topic"), rotation_deg=45)


def test_camera_before_open_and_after_close() -> None:
    camera = Camera(Pushed("topic"), QUICK)
    assert camera.fault == "camera lost: topic was not opened"
    with pytest.raises(CameraLost, match="topic delivered nothing"):
        camera.newest()
    camera.close()
    camera.close()


def test_camera_that_delivers_nothing_does_not_open() -> None:
    with pytest.raises(CameraLost, match=r"topic delivered nothing for 0\.20 s"):
        Camera(Pushed("topic", wait_s=0.5), CameraOptions(open_s=0.2)).open()


class Failing:
    """A source whose cable is out at times: `out` while it is, `opened` how often it was opened."""

    name, lens_fov_deg = "cable", 0.0

    def __init__(self) -> None:
        self.out, self.opened, self._count = False, 0, 0

    def open(self) -> None:
        if self.out:
            raise CameraMissing("cable: it is out")
        self.opened += 1

    def grab(self) -> Frame:
        time.sleep(0.02)
        if self.out:
            raise CameraLost("cable: it is out")
        self._count += 1
        return Frame(time.monotonic_ns(), plain_image(self._count % 256))

    def close(self) -> None:
        """Nothing to close."""


def test_camera_whose_cable_was_out_for_a_moment_is_opened_again() -> None:
    cable = Failing()
    camera = Camera(cable, QUICK)
    camera.open()
    cable.out = True
    wait_for(lambda: camera.fault == "camera lost: cable: it is out")
    with pytest.raises(CameraLost, match="it is out"):
        camera.newest(time.monotonic_ns())
    cable.out, out_ns = False, time.monotonic_ns()
    wait_for(lambda: camera.fault == "")
    assert camera.newest(out_ns).stamp_ns > out_ns
    assert cable.opened == 2
    camera.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of growing redness, at 50 Hz."""
    path = tmp_path_factory.mktemp("video") / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    for level in range(10):
        frame = plain_image(0)
        frame[..., 2] = 20 * level  # OpenCV's order is blue, green, red
        writer.write(frame)
    writer.release()
    return path


def test_recording_is_played_at_its_rate_in_rgb_and_ends(video: Path) -> None:
    film = source(f"file:{video}", 48, 64)
    film.open()
    frames = [film.grab() for _ in range(9)]  # the first one was read when it was opened
    with pytest.raises(CameraLost, match="ended"):
        film.grab()
    film.close()
    film.close()
    assert all(frame.image.shape == SIZE for frame in frames)
    assert [int(frame.image[24, 32, 0]) for frame in frames] == pytest.approx([20 * i for i in range(1, 10)], abs=12)
    assert frames[-1].image[24, 32, 2] < 20
    assert (frames[-1].stamp_ns - frames[0].stamp_ns) / 1e9 >= 0.15  # eight periods of 20 ms


def test_recording_of_another_size_is_refused(video: Path) -> None:
    message = r"delivers images of shape \(48, 64, 3\), expected \(720, 1280, 3\)"
    with pytest.raises(CameraSize, match=message):
        Camera(OpenCV(str(video), 720, 1280, recorded=True), QUICK).open()


def test_missing_device_is_named() -> None:
    with pytest.raises(CameraMissing, match="opencv:97: there is no /dev/video97; video devices: ") as error:
        Camera(source("opencv:97", 720, 1280), QUICK).open()
    assert isinstance(error.value, ConnectionFailed)


def test_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no video")
    with pytest.raises(CameraMissing, match="does not open as a video"):
        source(f"file:{path}", 720, 1280).open()


def test_denied_device_is_named(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch(mode=0o000)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may open everything
    try:
        with pytest.raises(CameraDenied, match="may not be read; add the user to the group 'video'"):
            OpenCV(str(device), 720, 1280).open()
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("choice", ["", "opencv", "url:", "telescope:1"])
def test_choices_that_are_none_are_refused(choice: str) -> None:
    with pytest.raises(CameraMissing, match=f"got '{choice}', expected realsense:SERIAL, opencv:INDEX"):
        source(choice, 720, 1280)


def test_synthetic_camera_sees_where_the_fake_stands() -> None:
    with running_fake() as fake:
        camera = Camera(Synthetic(str(fake.fleet), 90, 160), QUICK)
        camera.open()
        assert camera.newest().image[20, 80].tolist() == [200, 60, 60]  # the wall ahead at yaw 0
        fake.tell("freeze_camera on")
        time.sleep(0.6)
        assert camera.fault.startswith("camera frozen")
        fake.kill()
        time.sleep(0.3)
        with pytest.raises(CameraLost, match=r"synthetic:.*(no fake Stretch answers|delivered nothing)"):
            camera.newest(time.monotonic_ns())
        camera.close()
    with pytest.raises(CameraMissing, match="no fake Stretch answers"):
        Camera(Synthetic("/nowhere", 90, 160), QUICK).open()


def test_synthetic_camera_without_a_fake_is_a_test_card() -> None:
    camera = Camera(source("synthetic", 90, 160), QUICK)
    camera.open()
    before = camera.newest()
    assert camera.newest(before.stamp_ns).image.shape == (90, 160, 3)
    camera.close()


def realsense(serials: list[str], *, start: str = "", numbers: list[int] | None = None) -> ModuleType:
    """librealsense's Python interface, as far as the driver uses it; no such camera can be had here."""
    counts = iter(numbers or range(1, 1000))

    class Pipeline:
        def start(self, config: Any) -> Any:
            if start:
                raise RuntimeError(start)
            intrinsics = SimpleNamespace(fy=636.0)  # of a 1280x720 colour stream that sees 59 degrees
            stream = SimpleNamespace(get_intrinsics=lambda: intrinsics)
            return SimpleNamespace(get_stream=lambda kind: SimpleNamespace(as_video_stream_profile=lambda: stream))

        def wait_for_frames(self, limit_ms: int) -> Any:
            number = next(counts)
            colour = SimpleNamespace(
                get_frame_number=lambda: number, get_data=lambda: np.zeros((720, 1280, 3), np.uint8)
            )
            return SimpleNamespace(get_color_frame=lambda: colour)

        def stop(self) -> None:
            """Ends the stream."""

    devices = [SimpleNamespace(get_info=lambda what, serial=serial: serial) for serial in serials]
    module = ModuleType("pyrealsense2")
    module.__dict__.update(
        context=lambda: SimpleNamespace(query_devices=lambda: devices),
        camera_info=SimpleNamespace(serial_number=0),
        config=lambda: SimpleNamespace(enable_device=lambda serial: None, enable_stream=lambda *what: None),
        pipeline=Pipeline,
        stream=SimpleNamespace(color=0),
        format=SimpleNamespace(rgb8=0),
    )
    return module


def opened(monkeypatch: pytest.MonkeyPatch, module: ModuleType, serial: str = "") -> RealSense:
    monkeypatch.setitem(sys.modules, "pyrealsense2", module)
    camera = RealSense(serial, 720, 1280)
    camera.open()
    return camera


def test_realsense_reports_its_field_of_view(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(monkeypatch, realsense(["817"]))
    assert camera.lens_fov_deg == pytest.approx(59.0, abs=0.1)
    assert camera.grab().image.shape == (720, 1280, 3)
    camera.close()


def test_realsense_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CameraMissing, match="realsense:1 is not connected"):
        opened(monkeypatch, realsense(["817", "818"]), "1")
    with pytest.raises(CameraMissing, match="realsense is not connected"):
        opened(monkeypatch, realsense(["817", "818"]))  # which one?


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Couldn't resolve requests", CameraSize),
        ("failed to open usb interface: access denied", CameraDenied),
        ("Device or resource busy", CameraMissing),
    ],
)
def test_realsense_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, message: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"realsense.*{message}" if kind is not CameraSize else "1280x720 colour stream"):
        opened(monkeypatch, realsense(["817"], start=message))


def test_realsense_that_counts_no_further_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(monkeypatch, realsense(["817"], numbers=[5, 5]))
    camera.grab()
    with pytest.raises(CameraLost, match="delivers frame 5 again"):
        camera.grab()


def test_missing_pyrealsense2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(CameraMissing, match="pip install pyrealsense2"):
        RealSense("", 720, 1280).open()
