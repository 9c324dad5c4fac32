"""Camera behind an image topic: its newest image, the image's sensing time, and a check that it is alive.

Takes `sensor_msgs/Image` (`images.CHANNELS`), and `sensor_msgs/CompressedImage` from topics whose names end in
"/compressed".
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from ferry_ros.messages import convert, images
from robots.cameras.freeze import FreezeDetector
from robots.errors import ConnectionFailed, RobotError, SpecError
from robots.spec import CameraSpec, U8Image

SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Accepts reliable and best-effort publishers; does not wait for an image that was superseded."""

MAX_HEADER_AGE_S = 1.0
"""Largest accepted age by the header [s]; above it the stamp comes from another clock, and arrival time is used."""


@dataclass(frozen=True)
class CameraTuning:
    """Liveness and rotation of a camera.

    Attributes:
        stale_s: without a new image for so long it counts as lost; a RealSense sends 15 a second.
        same_is_frozen: the same pixels for so long count as frozen. A sensor has noise; False for a renderer.
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
        frozen_s = self.tuning.stale_s if self.tuning.same_is_frozen else math.inf
        self._freeze = FreezeDetector(f"{spec.name} on {topic}", self.tuning.stale_s, frozen_s)
        kind: Any = CompressedImage if topic.endswith("/compressed") else Image
        node.create_subscription(kind, topic, self._take, SENSOR)

    @property
    def fault(self) -> str:
        """Fault of the camera, beginning with "camera lost" or "camera frozen"; empty while it is alive."""
        return self._freeze.fault

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
                silent = f"camera lost: no new image of {self.spec.name} on {self.topic} within {timeout_s} s"
                raise RobotError(self.fault or silent)
            shot = self._newest
        if self.fault:
            raise RobotError(self.fault)
        assert shot is not None  # it was sensed
        return shot

    def image(self, shot: Shot) -> U8Image:
        """Decodes a shot to (H, W, 3) uint8 RGB; SpecError for another encoding or size, or a damaged one."""
        image = images.decode(shot.message)
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
        with self._changed:
            self._freeze.take(message.data, now_ns)
            if self._newest is None or sensed_ns > self._newest.stamp_ns:
                self._newest = Shot(sensed_ns, message)
            self._changed.notify_all()
