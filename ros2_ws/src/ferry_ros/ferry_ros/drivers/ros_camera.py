"""Camera behind an image topic: its newest image, the image's sensing time, and a check that it is alive.

Takes `sensor_msgs/Image` of colour (`CHANNELS`), and `sensor_msgs/CompressedImage` from topics whose names end in
"/compressed".
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from ferry_ros.messages import convert
from robots.errors import ConnectionFailed, RobotError, SpecError
from robots.spec import CameraSpec, U8Image

SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Accepts reliable and best-effort publishers; does not wait for an image that was superseded."""

MAX_HEADER_AGE_S = 1.0
"""Largest accepted age by the header [s]; above it the stamp comes from another clock, and arrival time is used."""


CHANNELS = {"rgb8": "rgb", "bgr8": "bgr", "rgba8": "rgba", "bgra8": "bgra"}
"""Encodings of colour images -> the order of their bytes in a pixel; of YUV, brightness and subsampled colour."""
YUV = ("yc", "cy")
CHANNELS |= {"yuyv": "yc", "yuv422_yuy2": "yc", "uyvy": "cy", "yuv422": "cy"}

JPEG, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
"""Markers of a JPEG: start, start of a scan, end."""


@dataclass(frozen=True)
class CameraTuning:
    """Liveness and rotation of a camera.

    Attributes:
        stale_s: without a new image for so long it counts as frozen; a RealSense sends 15 a second.
        same_is_frozen: the same pixels for so long count as frozen too. A sensor has noise; False for a renderer.
        quarter_turns_cw: clockwise rotation of the images in steps of 90 degrees, for a camera that is mounted on its
            side (the RE1's own D435i: 1).
    """

    stale_s: float = 0.5
    same_is_frozen: bool = True
    quarter_turns_cw: int = 0


@dataclass(frozen=True)
class Shot:
    """Image message with its sensing time on this computer's monotonic clock [ns]."""

    stamp_ns: int
    message: Any


class RosCamera:
    """Subscribes to `topic`; its callback runs in the thread that spins `node`.

    Args:
        node: of the subscription, and closed with it.
        spec: of the images after their rotation.
        topic: e.g. "/camera/color/image_raw", "/camera/color/image_raw/compressed".
    """

    def __init__(self, node: Node, spec: CameraSpec, topic: str, tuning: CameraTuning | None = None) -> None:
        self.spec, self.topic, self.tuning = spec, topic, tuning or CameraTuning()
        self._clock = node.get_clock()
        self._changed = threading.Condition()
        self._newest: Shot | None = None
        self._arrived_s = self._differed_s = time.monotonic()
        self._checksum = -1
        kind: Any = CompressedImage if topic.endswith("/compressed") else Image
        node.create_subscription(kind, topic, self._take, SENSOR)

    @property
    def fault(self) -> str:
        """Fault of the camera, beginning with "camera frozen"; empty while it is alive."""
        now, max_s = time.monotonic(), self.tuning.stale_s
        if now - self._arrived_s > max_s:
            return f"camera frozen: no image of {self.spec.name} on {self.topic} for {now - self._arrived_s:.2f} s"
        if self.tuning.same_is_frozen and now - self._differed_s > max_s:
            return f"camera frozen: {self.spec.name} sends the same pixels for {now - self._differed_s:.2f} s"
        return ""

    def connect(self, timeout_s: float) -> None:
        """Waits for a valid image; ConnectionFailed, with the fault of the last one, when none comes in time."""
        until, after_ns, bad, silent = time.monotonic() + timeout_s, -1, "", ""
        while (left_s := until - time.monotonic()) > 0.0:
            try:
                self.image(self.wait(after_ns, left_s))
                return
            except SpecError as error:
                bad = f": {error}"
            except RobotError as error:
                silent = f": {error}"
            with self._changed:
                after_ns = self._newest.stamp_ns if self._newest else -1
        why = bad or (silent if after_ns >= 0 else "")
        message = f"no {'good ' if why else ''}image of camera '{self.spec.name}' on {self.topic}"
        raise ConnectionFailed(f"{message} within {timeout_s} s{why}; is its driver running, and is that the topic?")

    def wait(self, after_ns: int, timeout_s: float) -> Shot:
        """Returns the newest shot sensed after `after_ns`; RobotError, with the fault, when none comes in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._sensed(after_ns), timeout_s):
                silent = f"camera frozen: no new image of {self.spec.name} on {self.topic} within {timeout_s} s"
                raise RobotError(self.fault or silent)
            shot = self._newest
        if self.fault:
            raise RobotError(self.fault)
        assert shot is not None  # it was sensed
        return shot

    def image(self, shot: Shot) -> U8Image:
        """Decodes a shot to (H, W, 3) uint8 RGB; SpecError for another encoding or size, or a damaged one."""
        image = decode(shot.message)
        if self.tuning.quarter_turns_cw % 4:
            image = np.ascontiguousarray(np.rot90(image, -self.tuning.quarter_turns_cw))
        self.spec.check(image)
        return image

    def _sensed(self, after_ns: int) -> bool:
        return self._newest is not None and self._newest.stamp_ns > after_ns

    def _take(self, message: Any) -> None:
        now_ns = time.monotonic_ns()
        age_s = (self._clock.now().nanoseconds - convert.stamp_of(message.header)) / 1e9
        sensed_ns = now_ns - round(age_s * 1e9) if 0.0 <= age_s <= MAX_HEADER_AGE_S else now_ns
        checksum = zlib.adler32(message.data)
        with self._changed:
            self._arrived_s = now_ns / 1e9
            if checksum != self._checksum:
                self._checksum, self._differed_s = checksum, self._arrived_s
            if self._newest is None or sensed_ns > self._newest.stamp_ns:
                self._newest = Shot(sensed_ns, message)
            self._changed.notify_all()


def decode(message: Image | CompressedImage) -> U8Image:
    """Decodes a colour image to (H, W, 3) uint8 RGB; SpecError for any other or damaged image."""
    if isinstance(message, CompressedImage):
        return _decompress(message)
    if message.encoding not in CHANNELS:
        raise SpecError("image encoding", repr(message.encoding), f"one of {', '.join(CHANNELS)}")
    order = CHANNELS[message.encoding]
    width, size = len(order) * message.width, message.step * message.height
    if not 0 < width <= message.step or not 0 < size <= len(message.data):
        raise SpecError("image data", f"{len(message.data)} bytes of step {message.step}", f"{size} bytes")
    rows = np.frombuffer(message.data, dtype=np.uint8)[:size].reshape(message.height, message.step)[:, :width]
    image = rows.reshape(message.height, message.width, len(order))
    if order in YUV:
        return _from_yuv(image, order)
    return np.ascontiguousarray(image[:, :, [order.index(channel) for channel in "rgb"]])


def _from_yuv(image: U8Image, order: str) -> U8Image:
    import cv2  # only for a YUV camera

    if image.shape[1] % 2:
        raise SpecError("image width", image.shape[1], "an even number, as two pixels share a colour")
    code = cv2.COLOR_YUV2RGB_YUYV if order == "yc" else cv2.COLOR_YUV2RGB_UYVY
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), code), dtype=np.uint8)


def _decompress(message: CompressedImage) -> U8Image:
    import cv2  # only for compressed topics

    data = bytes(message.data)
    try:
        image = None if _damaged(data) else cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # nothing at all, or a size that it refuses
        image = None
    if image is None:
        what = f"format {message.format!r}, {len(data)} bytes, empty, damaged or of another kind"
        raise SpecError("compressed image", what, "JPEG or PNG")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)


def _damaged(data: bytes) -> bool:
    """Detects empty images, and JPEGs that are truncated or have a block of zeros: OpenCV 4 decodes both, with no more
    than a warning of libjpeg on the terminal. (No camera's encoder produces 512 zeros in a row.)"""
    if not data.startswith(JPEG):
        return not data
    whole = data.rstrip(b"\0")  # some cameras pad it
    return not whole.endswith(END) or whole.find(bytes(512), whole.rfind(SCAN)) >= 0
