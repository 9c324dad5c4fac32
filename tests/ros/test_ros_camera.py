"""A camera behind an image topic, over DDS: images, when they were sensed, and when the camera counts as frozen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ferry_ros.drivers.ros_camera import CameraTuning, RosCamera
from ferry_ros.drivers.vendor_node import Link
from ferry_ros.messages import convert, images
from ferry_ros.messages.images import decode
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
    """Publishes images and waits until the camera listens."""

    def __init__(self, link: Link, kind: Any = Image, topic: str = TOPIC) -> None:
        self._clock, self._out = link.node.get_clock(), link.node.create_publisher(kind, topic, 1)
        wait_until(lambda: self._out.get_subscription_count() > 0)

    def send(self, message: Any, age_s: float = 0.0) -> None:
        message.header.stamp = convert.time_msg(self._clock.now().nanoseconds - round(age_s * 1e9))
        self._out.publish(message)


def sample_image(value: int = 0, height: int = 4, width: int = 6) -> Pixels:
    return (np.arange(height * width * 3) + value).astype(np.uint8).reshape(height, width, 3)


def message_of(image: Pixels, encoding: str = "rgb8") -> Image:
    message = images.image_msg(image, 0, "camera")
    message.encoding = encoding
    return message


def test_an_image_comes_with_the_moment_it_was_sensed(link: Link, camera: RosCamera) -> None:
    publisher, before_ns = Publisher(link), time.monotonic_ns()
    publisher.send(message_of(sample_image()), age_s=0.1)
    shot = camera.wait(-1, 2.0)
    assert np.array_equal(camera.image(shot), sample_image())
    assert before_ns - 150_000_000 < shot.stamp_ns < before_ns
    assert camera.fault == ""


def test_a_stamp_of_another_clock_is_not_believed(link: Link, camera: RosCamera) -> None:
    publisher, before_ns = Publisher(link), time.monotonic_ns()
    publisher.send(message_of(sample_image()), age_s=3600.0)
    assert camera.wait(-1, 2.0).stamp_ns > before_ns


def test_a_newer_image_is_waited_for(link: Link, camera: RosCamera) -> None:
    publisher = Publisher(link)
    publisher.send(message_of(sample_image(1)))
    first = camera.wait(-1, 2.0)
    publisher.send(message_of(sample_image(2)))
    second = camera.wait(first.stamp_ns, 2.0)
    assert np.array_equal(camera.image(second), sample_image(2))


def test_a_silent_camera_is_lost(link: Link, camera: RosCamera) -> None:
    publisher = Publisher(link)
    publisher.send(message_of(sample_image()))
    shot = camera.wait(-1, 2.0)
    with pytest.raises(RobotError, match=f"camera lost: .*navigation on {TOPIC} "):
        camera.wait(shot.stamp_ns, 0.4)


def test_the_same_pixels_are_a_frozen_camera_unless_it_renders(link: Link) -> None:
    real = RosCamera(link.node, SPEC, TOPIC, TUNING)
    rendered = RosCamera(link.node, SPEC, TOPIC, CameraTuning(stale_s=0.3, same_is_frozen=False))
    link.spin()
    publisher = Publisher(link)
    for _ in range(8):
        publisher.send(message_of(sample_image()))
        time.sleep(0.05)
    wait_until(lambda: real.fault.startswith("camera frozen: navigation"), 1.0)
    assert rendered.fault == ""
    publisher.send(message_of(sample_image(1)))
    wait_until(lambda: real.fault == "", 1.0)


def test_nobody_on_the_topic_is_reported_at_connect(camera: RosCamera) -> None:
    with pytest.raises(ConnectionFailed, match=f"no image of camera 'navigation' on {TOPIC} within 0.2 s; is its"):
        camera.connect(0.2)


def test_another_size_is_reported_at_connect(link: Link, camera: RosCamera) -> None:
    Publisher(link).send(message_of(sample_image(0, 6, 4)))
    with pytest.raises(ConnectionFailed, match=r"'navigation': got shape \(6, 4, 3\)"):
        camera.connect(0.5)


@pytest.mark.parametrize("first", [b"", b"no image"], ids=["empty", "broken"])
def test_a_bad_first_image_is_waited_over(link: Link, first: bytes) -> None:
    camera = RosCamera(link.node, SPEC, f"{TOPIC}/compressed")
    link.spin()
    publisher = Publisher(link, CompressedImage, f"{TOPIC}/compressed")
    publisher.send(CompressedImage(format="jpeg", data=first))
    with pytest.raises(ConnectionFailed, match=f"no good image of camera 'navigation' .*, {len(first)} bytes, empty"):
        camera.connect(0.5)
    later = threading.Timer(0.3, lambda: publisher.send(compressed(sample_image(), ".png")))
    later.start()
    camera.connect(5.0)
    later.join()
    assert np.array_equal(camera.image(camera.wait(-1, 2.0)), sample_image())


def test_a_camera_on_its_side_is_turned_upright(link: Link) -> None:
    camera = RosCamera(link.node, SPEC, TOPIC, CameraTuning(quarter_turns_cw=1))
    link.spin()
    sideways = sample_image(0, 6, 4)
    Publisher(link).send(message_of(sideways))
    camera.connect(2.0)
    upright = camera.image(camera.wait(-1, 2.0))
    assert np.array_equal(upright[0, -1], sideways[0, 0])  # the first corner went clockwise, to the right


def compressed(image: Pixels, kind: str) -> CompressedImage:
    return CompressedImage(format=kind[1:], data=cv2.imencode(kind, image[:, :, ::-1])[1].tobytes())


def test_a_compressed_topic(link: Link) -> None:
    camera = RosCamera(link.node, SPEC, f"{TOPIC}/compressed")
    link.spin()
    Publisher(link, CompressedImage, f"{TOPIC}/compressed").send(compressed(sample_image(), ".png"))
    camera.connect(2.0)
    assert np.array_equal(camera.image(camera.wait(-1, 2.0)), sample_image())


@pytest.mark.parametrize("what", ["cut off", "zeros in its middle"])
def test_a_damaged_jpeg_is_refused(what: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    message = compressed(noise, ".jpg")
    whole = bytes(message.data)
    assert decode(message).shape == noise.shape
    assert decode(CompressedImage(data=whole + bytes(700))).shape == noise.shape  # padded, as some cameras do
    assert decode(compressed(np.zeros_like(noise), ".jpg")).max() == 0
    at = len(whole) // 2
    bad = whole[:at] if what == "cut off" else whole[:at] + bytes(2000) + whole[at + 2000 :]
    with pytest.raises(SpecError, match="compressed image: got format 'jpeg'"):
        decode(CompressedImage(format="jpeg", data=bad))


def test_images_with_an_alpha_channel_and_of_shared_colour() -> None:
    alpha = np.dstack([sample_image(), np.full((4, 6), 255, np.uint8)])
    for encoding, pixels in (("rgba8", alpha), ("bgra8", alpha[:, :, [2, 1, 0, 3]])):
        message = message_of(sample_image(), encoding)
        message.step, message.data = 24, pixels.tobytes()
        assert np.array_equal(decode(message), sample_image())
    grey = message_of(sample_image(), "mono8")
    grey.step, grey.data = 6, sample_image()[:, :, 0].tobytes()
    assert np.array_equal(images.decode(grey), np.repeat(sample_image()[:, :, :1], 3, axis=2))
    grey = np.full((4, 6, 2), 128, np.uint8)
    grey[..., 0] = np.arange(16, 64, 2).reshape(4, 6)
    for encoding, pixels in (("yuv422_yuy2", grey), ("uyvy", grey[:, :, ::-1])):
        message = message_of(sample_image(), encoding)
        message.step, message.data = 12, pixels.tobytes()
        image = decode(message).astype(int)
        assert np.ptp(image, axis=2).max() <= 1  # no colour
        assert np.array_equal(np.argsort(image[..., 0].ravel(), kind="stable"), np.arange(24))


def test_encodings_and_padded_rows() -> None:
    assert np.array_equal(decode(message_of(sample_image(), "bgr8")), sample_image()[:, :, ::-1])
    padded = message_of(sample_image())
    padded.step = 20
    padded.data = np.pad(sample_image().reshape(4, 18), ((0, 0), (0, 2))).tobytes()
    assert np.array_equal(decode(padded), sample_image())
    with pytest.raises(SpecError, match="image encoding: got '16UC1'"):
        decode(message_of(sample_image(), "16UC1"))
    short = message_of(sample_image())
    short.data = short.data[:-1]
    with pytest.raises(SpecError, match="image data: got 71 bytes of step 18"):
        decode(short)
