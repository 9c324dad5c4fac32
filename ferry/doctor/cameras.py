"""Checks of a single camera, without the robot: that it delivers images of the given size at the required rate."""

from __future__ import annotations

import time

from ferry.doctor.check import CheckFailed
from robots.cameras.camera import Camera, CameraError
from robots.cameras.sources import source

WATCH_S = 2.0
"""Observation time of a camera: longer than an image may stay unchanged, so that a frozen camera is detected."""


def check_camera(choice: str, size: tuple[int, int], rate_hz: float) -> str:
    """Checks one camera.

    Args:
        choice: argument of `robots.cameras.sources.source`, e.g. "opencv:/dev/video0" or "realsense:SERIAL".
        size: width and height of the sensor's image [pixels].
        rate_hz: required images per second.
    """
    width, height = size
    try:
        hz = measure(Camera(source(choice, height, width)), WATCH_S)
    except (CameraError, ImportError) as error:
        found, _, fix = " ".join(str(error).split()).partition("; ")
        raise CheckFailed(found, fix or _udev(choice)) from error
    measured = f"{width}x{height} at {hz:.1f} Hz"
    if hz < rate_hz:
        fix = "a USB 3 port and cable; is another program using it?"
        raise CheckFailed(f"{choice} is too slow: {measured}, {rate_hz:g} Hz are needed", fix)
    return f"{choice}: {measured}"


def measure(camera: Camera, seconds: float) -> float:
    """Returns the images per second of a camera. Raises CameraError when it is missing, lost or frozen."""
    try:
        camera.open()
        stamps_ns = [camera.newest().stamp_ns]
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            stamps_ns.append(camera.newest(stamps_ns[-1]).stamp_ns)
    finally:
        camera.close()
    return (len(stamps_ns) - 1) / ((stamps_ns[-1] - stamps_ns[0]) / 1e9)


def _udev(choice: str) -> str:
    kind = choice.partition(":")[0]
    tool = "rs-enumerate-devices" if kind == "realsense" else "v4l2-ctl --list-devices"
    return f"is it plugged in, into a USB 3 port? `{tool}` lists the cameras; sudo usermod -aG video $USER"
