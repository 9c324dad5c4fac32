"""Sources of images: RealSense, anything that OpenCV opens, and a synthetic one for the fakes.

`source("realsense:SERIAL")`, `source("opencv:0")`, `source("opencv:/dev/video2")`, `source("url:rtsp://...")`,
`source("file:recording.mp4")`, `source("synthetic")` or `source("synthetic:FLEET_FOLDER")`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from robots.cameras.camera import CameraDenied, CameraEnded, CameraLost, CameraMissing, CameraSize, Frame, Source
from robots.cameras.letterbox import lens_fov_deg
from robots.cameras.synthetic import Synthetic

KINDS = "realsense:SERIAL, opencv:INDEX, opencv:/dev/videoN, url:ADDRESS, file:VIDEO, synthetic or synthetic:FLEET"
FPS = 30
GRAB_S = 5.0
"""Timeout of one image; some devices take seconds for the first."""


def source(choice: str, height: int, width: int, yaw_deg: float = 0.0) -> Source:
    """Creates the source that `choice` names, of images (height, width, 3); CameraMissing for any other choice.

    Args:
        choice: one of the forms above.
        height: of the sensor's image, before its rotation.
        width: of the sensor's image.
        yaw_deg: viewing direction of a synthetic camera, counter-clockwise from ahead.
    """
    kind, _, what = choice.partition(":")
    if kind == "realsense":
        return RealSense(what, height, width)
    if kind == "opencv" and what:
        return OpenCV(int(what) if what.isdigit() else what, height, width)
    if kind in ("url", "file") and what:
        return OpenCV(what, height, width, recorded=kind == "file")
    if kind == "synthetic":
        return Synthetic(what, height, width, yaw_deg)
    raise CameraMissing(f"camera: got {choice!r}, expected {KINDS}")


class OpenCV:
    """A video device, a stream or a recording through `cv2.VideoCapture`.

    Args:
        what: index of a video device, its path, an address, or a video file.
        height: of the images.
        width: of the images.
        recorded: a file, to be played once at its own rate.
    """

    lens_fov_deg = 0.0

    def __init__(self, what: int | str, height: int, width: int, recorded: bool = False) -> None:
        self._what, self._height, self._width, self._recorded = what, height, width, recorded
        self.name = f"opencv:{what}"
        self._capture: Any = None
        self._next_s = 0.0

    def open(self) -> None:
        """Opens the device. Raises CameraMissing, CameraDenied or CameraSize."""
        import cv2

        device = f"/dev/video{self._what}" if isinstance(self._what, int) else self._what
        if "://" not in device:
            _check_device(self.name, Path(device))
        self._capture = cv2.VideoCapture(self._what)
        if not self._capture.isOpened():
            raise CameraMissing(f"{self.name} does not open as a video; is another program using it?")
        if "://" not in device and not self._recorded:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # raw 720p exceeds USB 2
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._height)
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        ok, first = self._capture.read()
        if not ok:
            raise CameraMissing(f"{self.name} opens but delivers no image")
        check_size(self.name, first.shape, self._height, self._width)

    def grab(self) -> Frame:
        """The next image; CameraLost when there is none."""
        import cv2

        if self._recorded:
            self._pace(float(self._capture.get(cv2.CAP_PROP_FPS)) or FPS)
        ok, image = self._capture.read()
        if not ok:
            raise (
                CameraEnded(f"{self.name} ended")
                if self._recorded
                else CameraLost(f"{self.name} delivers no more images")
            )
        stamp_ns = time.monotonic_ns()
        return Frame(stamp_ns, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        """Releases the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _pace(self, fps: float) -> None:
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = max(self._next_s, time.monotonic()) + 1 / fps


class RealSense:
    """The colour stream of an Intel RealSense through pyrealsense2.

    Args:
        serial: its number, as `rs-enumerate-devices` prints; empty where only one is connected.
        height: of the stream.
        width: of the stream.
    """

    def __init__(self, serial: str, height: int, width: int) -> None:
        self._serial, self._height, self._width = serial, height, width
        self.name = f"realsense:{serial}" if serial else "realsense"
        self.lens_fov_deg = 0.0
        self._pipeline: Any = None
        self._number = -1

    def open(self) -> None:
        """Opens the device. Raises CameraMissing (with the connected serials), CameraDenied or CameraSize."""
        rs = _realsense(self.name)
        serials = [device.get_info(rs.camera_info.serial_number) for device in rs.context().query_devices()]
        if self._serial not in serials and (self._serial or len(serials) != 1):
            connected = ", ".join(serials) or "none"
            raise CameraMissing(f"{self.name} is not connected; connected: {connected}. Check its USB 3 cable")
        config, self._pipeline = rs.config(), rs.pipeline()
        config.enable_device(self._serial or serials[0])
        config.enable_stream(rs.stream.color, self._width, self._height, rs.format.rgb8, FPS)
        try:
            profile = self._pipeline.start(config)
        except RuntimeError as error:  # librealsense has one error for everything
            self._pipeline = None
            raise _start_error(self.name, str(error), self._height, self._width) from error
        stream = profile.get_stream(rs.stream.color).as_video_stream_profile()
        self.lens_fov_deg = lens_fov_deg(stream.get_intrinsics().fy, self._height)

    def grab(self) -> Frame:
        """The newest image; CameraLost when none comes, or the frame number does not advance."""
        try:
            frame = self._pipeline.wait_for_frames(int(GRAB_S * 1000)).get_color_frame()
        except RuntimeError as error:
            raise CameraLost(f"{self.name}: {error}") from error
        stamp_ns, number = time.monotonic_ns(), frame.get_frame_number()
        if number == self._number:
            raise CameraLost(f"{self.name} delivers frame {number} again")
        self._number = number
        image = np.array(frame.get_data(), dtype=np.uint8)  # a copy: librealsense uses its buffers again
        check_size(self.name, image.shape, self._height, self._width)
        return Frame(stamp_ns, image)

    def close(self) -> None:
        """Stops the stream."""
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None


def check_size(name: str, shape: tuple[int, ...], height: int, width: int) -> None:
    """Raises CameraSize unless `shape` is (height, width, 3)."""
    if shape != (height, width, 3):
        raise CameraSize(f"{name} delivers images of shape {shape}, expected {(height, width, 3)}")


def _check_device(name: str, path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except FileNotFoundError as error:
        present = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise CameraMissing(f"{name}: there is no {path}; video devices: {present}") from error
    except PermissionError as error:
        raise CameraDenied(f"{name}: {path} may not be read; add the user to the group 'video'") from error
    except OSError as error:
        raise CameraMissing(f"{name}: {path}: {error.strerror}") from error


def _realsense(name: str) -> Any:
    try:
        import pyrealsense2  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise CameraMissing(f"{name} needs pyrealsense2 ({error}): pip install pyrealsense2") from error
    return pyrealsense2


def _start_error(name: str, message: str, height: int, width: int) -> Exception:
    lower = message.lower()
    if "permission" in lower or "access" in lower:
        return CameraDenied(f"{name}: {message}; are the udev rules of librealsense installed?")
    if "resolve" in lower:
        return CameraSize(f"{name} has no {width}x{height} colour stream at {FPS} Hz ({message}); is it on USB 3?")
    return CameraMissing(f"{name}: {message}")
