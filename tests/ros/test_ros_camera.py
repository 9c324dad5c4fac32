"""A camera behind an image topic, over DDS: pictures, when they were sensed, and when the camera counts as frozen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ferry_ros import convert
from ferry_ros.bodies.link import Link
from ferry_ros.bodies.ros_camera import CameraTuning, RosCamera, decode
from ros_graph import wait_until
from sensor_msgs.msg import CompressedImage, Image

from robots.errors import ConnectionFailed, RobotError, SpecError
from robots.spec import CameraSpec

SPEC = CameraSpec("navigation", 4, 6, 59.0)
TOPIC = "camera/color/image_raw"
TUNING = CameraTuning(stale_s=0.3)
Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link("camera_test", "/camera_test")
    try:
        yield link
    finally:
        link.close()


@pytest.fixture
def camera(link: Link) -> RosCamera:
    camera = RosCamera(link.node, SPEC, TOPIC, TUNING)
    link.spin()
    return camera


class Publisher:
    """Publishes pictures and waits until the camera listens."""

    def __init__(self, link: Link, kind: Any = Image, topic: str = TOPIC) -> None:
        self._clock, self._out = link.node.get_clock(), link.node.create_publisher(kind, topic, 1)
        wait_until(lambda: self._out.get_subscription_count() > 0)

    def send(self, message: Any, age_s: float = 0.0) -> None:
        message.header.stamp = convert.time_msg(self._clock.now().nanoseconds - round(age_s * 1e9))
        self._out.publish(message)


def picture(value: int = 0, height: int = 4, width: int = 6) -> Pixels:
    return (np.arange(height * width * 3) + value).astype(np.uint8).reshape(height, width, 3)


def message_of(image: Pixels, encoding: str = "rgb8") -> Image:
    message = convert.image_msg(image, 0, "camera")
    message.encoding = encoding
    return message


def test_a_picture_comes_with_the_moment_it_was_sensed(link: Link, camera: RosCamera) -> None:
    publisher, before_ns = Publisher(link), time.monotonic_ns()
    publisher.send(message_of(picture()), age_s=0.1)
    shot = camera.wait(-1, 2.0)
    assert np.array_equal(camera.picture(shot), picture())
    assert before_ns - 150_000_000 < shot.stamp_ns < before_ns
    assert camera.trouble == ""


def test_a_stamp_of_another_clock_is_not_believed(link: Link, camera: RosCamera) -> None:
    publisher, before_ns = Publisher(link), time.monotonic_ns()
    publisher.send(message_of(picture()), age_s=3600.0)
    assert camera.wait(-1, 2.0).stamp_ns > before_ns


def test_a_newer_picture_is_waited_for(link: Link, camera: RosCamera) -> None:
    publisher = Publisher(link)
    publisher.send(message_of(picture(1)))
    first = camera.wait(-1, 2.0)
    publisher.send(message_of(picture(2)))
    second = camera.wait(first.stamp_ns, 2.0)
    assert np.array_equal(camera.picture(second), picture(2))


def test_silence_is_a_frozen_camera(link: Link, camera: RosCamera) -> None:
    publisher = Publisher(link)
    publisher.send(message_of(picture()))
    shot = camera.wait(-1, 2.0)
    with pytest.raises(RobotError, match=f"camera frozen: no picture of navigation on {TOPIC} for 0."):
        camera.wait(shot.stamp_ns, 0.4)


def test_the_same_pixels_are_a_frozen_camera_unless_it_renders(link: Link) -> None:
    real = RosCamera(link.node, SPEC, TOPIC, TUNING)
    rendered = RosCamera(link.node, SPEC, TOPIC, CameraTuning(stale_s=0.3, same_is_frozen=False))
    link.spin()
    publisher = Publisher(link)
    for _ in range(8):
        publisher.send(message_of(picture()))
        time.sleep(0.05)
    wait_until(lambda: "camera frozen: navigation sends the same pixels for 0." in real.trouble, 1.0)
    assert rendered.trouble == ""
    publisher.send(message_of(picture(1)))
    wait_until(lambda: real.trouble == "", 1.0)


def test_nobody_on_the_topic_is_told_at_connect(camera: RosCamera) -> None:
    with pytest.raises(ConnectionFailed, match=f"no picture of camera 'navigation' on {TOPIC} within 0.2 s; is its"):
        camera.connect(0.2)


def test_another_size_is_told_at_connect(link: Link, camera: RosCamera) -> None:
    Publisher(link).send(message_of(picture(0, 6, 4)))
    with pytest.raises(
        SpecError, match=r"image of camera 'navigation': got shape \(6, 4, 3\), expected shape \(4, 6, 3\)"
    ):
        camera.connect(2.0)


def test_a_camera_on_its_side_is_turned_upright(link: Link) -> None:
    camera = RosCamera(link.node, SPEC, TOPIC, CameraTuning(quarter_turns_cw=1))
    link.spin()
    sideways = picture(0, 6, 4)
    Publisher(link).send(message_of(sideways))
    camera.connect(2.0)
    upright = camera.picture(camera.wait(-1, 2.0))
    assert np.array_equal(upright[0, -1], sideways[0, 0])  # the first corner went clockwise, to the right


def test_a_compressed_topic(link: Link) -> None:
    camera = RosCamera(link.node, SPEC, f"{TOPIC}/compressed")
    link.spin()
    data = cv2.imencode(".png", picture()[:, :, ::-1])[1]
    message = CompressedImage(format="png")
    message.data = data.tobytes()
    Publisher(link, CompressedImage, f"{TOPIC}/compressed").send(message)
    camera.connect(2.0)
    assert np.array_equal(camera.picture(camera.wait(-1, 2.0)), picture())
    with pytest.raises(SpecError, match="compressed image: got format '' that cannot be decoded, expected JPEG or PNG"):
        decode(CompressedImage(data=b"no picture"))


def test_encodings_and_padded_rows() -> None:
    assert np.array_equal(decode(message_of(picture(), "bgr8")), picture()[:, :, ::-1])
    padded = message_of(picture())
    padded.step = 20
    padded.data = np.pad(picture().reshape(4, 18), ((0, 0), (0, 2))).tobytes()
    assert np.array_equal(decode(padded), picture())
    with pytest.raises(SpecError, match="image encoding: got '16UC1', expected 'rgb8' or 'bgr8'"):
        decode(message_of(picture(), "16UC1"))
    short = message_of(picture())
    short.data = short.data[:-1]
    with pytest.raises(SpecError, match="image data: got 71 bytes of step 18, expected 72 bytes"):
        decode(short)
