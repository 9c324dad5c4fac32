"""JPEG and PNG files to and from (H, W, 3) uint8 RGB.

A file that a client sends is read here first and only what makes the picture is handed on, so its size, its number of
passes and its unpacked bytes are known before OpenCV begins: what decoding costs is bounded by the camera's pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from policy_server.errors import WireError
from policy_server.images.jpeg import NotJpeg, checked_jpeg, jpeg_size
from policy_server.images.png import PNG, NotPng, checked_png, png_size
from policy_server.wire import invalid
from robots.spec import U8Image

JPEG_QUALITY = 90


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header of a JPEG or PNG file states; None when it has none that counts."""
    try:
        return png_size(data) if data.startswith(PNG) else jpeg_size(data)
    except (NotJpeg, NotPng):
        return None


def decode_image(name: str, data: bytes, size: tuple[int, int]) -> U8Image:
    """The RGB image of `size` (height, width) in a JPEG or PNG file.

    Raises WireError 422 "not_an_image" when it is no such file, is cut short or holds more than it states, "image_size"
    when it has another size.
    """
    got = encoded_size(data)
    if got is not None and got != size:
        what, expected = f"image of camera '{name}'", f"shape {(*size, 3)}"
        raise invalid(what, f"shape {(*got, 3)}", expected, code="image_size", camera=name)
    # A camera's orientation tag must not turn the picture: the body's spec says how it looks.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        checked = checked_png(data) if data.startswith(PNG) else checked_jpeg(data)
        image = cv2.imdecode(np.frombuffer(checked, np.uint8), flags)
    except (NotJpeg, NotPng, cv2.error) as error:
        raise _not_an_image(name, data, f" ({error})" if not isinstance(error, cv2.error) else "") from error
    if image is None or image.shape != (*size, 3):
        raise _not_an_image(name, data)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def encode_image(image: U8Image, kind: str) -> bytes:
    """`image` (H, W, 3) uint8 RGB as a "jpeg" (quality 90, lossy) or "png" file."""
    settings = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]), "png": (".png", [])}
    suffix, parameters = settings[kind]
    _, data = cv2.imencode(suffix, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR), parameters)
    return data.tobytes()


def _not_an_image(name: str, data: bytes, why: str = "") -> WireError:
    got = f"{len(data)} bytes that start with {data[:8].hex(' ')}{why}"
    expected = "a whole JPEG or PNG file"
    return invalid(f"image of camera '{name}'", got, expected, code="not_an_image", camera=name)
