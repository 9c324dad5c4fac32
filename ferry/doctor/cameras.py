"""Checks of a camera by itself, without the robot: it is there, and delivers pictures of its size, often enough."""

from __future__ import annotations

import time

from ferry.doctor.check import CheckFailed
from robots.cameras.camera import Camera, CameraError
from robots.cameras.sources import source

WATCH_S = 2.0
"""How long a camera is looked at: longer than a picture may stay the same, so that a frozen one is seen."""


def check_camera(choice: str, size: tuple[int, int], rate_hz: float) -> str:
    """Checks one camera.

    Args:
        choice: what `robots.cameras.sources.source` takes, e.g. "opencv:/dev/video0" or "realsense:SERIAL".
        size: width and height of the sensor's picture [pixels].
        rate_hz: pictures per second that are needed.
    """
    width, height = size
    try:
        hz = measure(Camera(source(choice, height, width)), WATCH_S)
    except (CameraError, ImportError) as error:
        found, _, fix = " ".join(str(error).split()).partition("; ")
        raise CheckFailed(found, fix or _udev(choice)) from error
    told = f"{width}x{height} at {hz:.1f} Hz"
    if hz < rate_hz:
        fix = "a USB 3 port and cable; is another program using it?"
        raise CheckFailed(f"{choice} is too slow: {told}, {rate_hz:g} Hz are needed", fix)
    return f"{choice}: {told}"


def measure(camera: Camera, seconds: float) -> float:
    """Returns how many pictures per second a camera delivers. Raises CameraError when it is missing, lost or frozen."""
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
    return f"is it plugged in, into a USB 3 port? `{tool}` lists what there is; sudo usermod -aG video $USER"
