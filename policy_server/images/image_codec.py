"""JPEG and PNG files to and from (H, W, 3) uint8 RGB.

A client's file is parsed here first, and only the parts that make up the image are passed on. Its size, number of scans
and unpacked bytes are known before OpenCV decodes it, so the cost of decoding is bounded by the camera's pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from policy_server.errors import WireError
from policy_server.images.jpeg import NotJpeg, checked_jpeg, jpeg_size
from policy_server.images.png import PNG, NotPng, checked_png, png_size
from policy_server.wire.messages import invalid
from robots.spec import U8Image

JPEG_QUALITY = 90


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """Returns (height, width) from the header of a JPEG or PNG file; None without a valid header."""
    try:
        return png_size(data) if data.startswith(PNG) else jpeg_size(data)
    except (NotJpeg, NotPng):
        return None


def decode_image(name: str, data: bytes, size: tuple[int, int]) -> U8Image:
    """Decodes the RGB image of `size` (height, width) in a JPEG or PNG file.

    Raises WireError 422: "not_an_image" if it is not such a file, is truncated or has extra data, "image_size" if it
    has another size.
    """
    got = encoded_size(data)
    if got is not None and got != size:
        what, expected = f"image of camera '{name}'", f"shape {(*size, 3)}"
        raise invalid(what, f"shape {(*got, 3)}", expected, code="image_size", camera=name)
    # A camera's orientation tag must not rotate the image: the embodiment defines the orientation.
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
    """Encodes `image` (H, W, 3) uint8 RGB as a "jpeg" (quality 90, lossy) or "png" file."""
    settings = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]), "png": (".png", [])}
    suffix, parameters = settings[kind]
    _, data = cv2.imencode(suffix, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR), parameters)
    return data.tobytes()


def _not_an_image(name: str, data: bytes, why: str = "") -> WireError:
    got = f"{len(data)} bytes that start with {data[:8].hex(' ')}{why}"
    expected = "a whole JPEG or PNG file"
    return invalid(f"image of camera '{name}'", got, expected, code="not_an_image", camera=name)
