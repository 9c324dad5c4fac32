"""JPEG and PNG files to and from (H, W, 3) uint8 RGB. The size is read from the header before anything is decoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from policy_server.errors import WireError
from policy_server.wire import invalid
from robots.spec import U8Image

PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
JPEG = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the SOFn markers of ITU-T T.81 table B.1
JPEG_QUALITY = 90


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header of a JPEG or PNG file states; None when it is neither or is cut short."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and len(data) >= 24 and PNG_END in data[-64:]:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data.startswith(JPEG) and JPEG_END in data[-64:]:
        return _jpeg_size(data)
    return None


def decode_picture(name: str, data: bytes, size: tuple[int, int]) -> U8Image:
    """The RGB image of `size` (height, width) in a JPEG or PNG file.

    Raises WireError 422 "not_an_image" when it is no such file or is cut short, "image_size" when it has another size.
    """
    got = picture_size(data)
    if got is None:
        raise _not_an_image(name, data)
    if got != size:
        what, expected = f"image of camera '{name}'", f"shape {(*size, 3)}"
        raise invalid(what, f"shape {(*got, 3)}", expected, code="image_size", camera=name)
    # A camera's orientation tag must not turn the picture: the body's spec says how it looks.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _not_an_image(name, data) from error
    if image is None or image.shape != (*size, 3):
        raise _not_an_image(name, data)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def encode_picture(image: U8Image, kind: str) -> bytes:
    """`image` (H, W, 3) uint8 RGB as a "jpeg" (quality 90, lossy) or "png" file."""
    settings = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]), "png": (".png", [])}
    suffix, parameters = settings[kind]
    _, data = cv2.imencode(suffix, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR), parameters)
    return data.tobytes()


def _not_an_image(name: str, data: bytes) -> WireError:
    got = f"{len(data)} bytes that start with {data[:8].hex(' ')}"
    expected = "a whole JPEG or PNG file"
    return invalid(f"image of camera '{name}'", got, expected, code="not_an_image", camera=name)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in JPEG_SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return height, width
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
