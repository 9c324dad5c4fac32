"""Images on ROS topics: to messages, and back from every encoding that Ferry takes."""

from __future__ import annotations

import array
import math

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ferry_ros.messages import convert
from robots.errors import SpecError
from robots.spec import CameraSpec, U8Image

CHANNELS = {"rgb8": "rgb", "bgr8": "bgr", "rgba8": "rgba", "bgra8": "bgra", "mono8": "y"}
"""Encodings of images -> the order of their bytes in a pixel; of YUV, brightness and subsampled colour."""
YUV = ("yc", "cy")
CHANNELS |= {"yuyv": "yc", "yuv422_yuy2": "yc", "uyvy": "cy", "yuv422": "cy"}

JPEG, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
"""Markers of a JPEG: start, start of a scan, end."""


def image_msg(image: U8Image, stamp_ns: int, frame_id: str) -> Image:
    """(H, W, 3) uint8 RGB -> rgb8 Image."""
    message = Image(header=Header(stamp=convert.time_msg(stamp_ns), frame_id=frame_id), encoding="rgb8")
    message.height, message.width = image.shape[:2]
    message.step = 3 * message.width
    message.data = array.array("B", np.ascontiguousarray(image).tobytes())  # an array: a list is far slower
    return message


def compressed_msg(image: U8Image, header: Header) -> CompressedImage:
    """(H, W, 3) uint8 RGB -> JPEG, with the header of its raw message, as image_transport names it."""
    from policy_server.images.image_codec import encode_image  # OpenCV, where somebody subscribes

    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=encode_image(image, "jpeg"))


def camera_info_msg(camera: CameraSpec, stamp_ns: int, frame_id: str) -> CameraInfo:
    """An ideal pinhole camera with square pixels and the spec's vertical field of view."""
    message = CameraInfo(header=Header(stamp=convert.time_msg(stamp_ns), frame_id=frame_id))
    message.height, message.width, message.distortion_model = camera.height, camera.width, "plumb_bob"
    focal = camera.height / 2 / math.tan(math.radians(camera.vertical_fov_deg) / 2)  # pixels
    cx, cy = camera.width / 2, camera.height / 2
    message.d = [0.0] * 5
    message.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def decode(message: Image | CompressedImage) -> U8Image:
    """Decodes an image to (H, W, 3) uint8 RGB; SpecError for another encoding or a damaged image."""
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
    grey = order == "y"
    return np.ascontiguousarray(image[:, :, [0 if grey else order.index(channel) for channel in "rgb"]])


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
