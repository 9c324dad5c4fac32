"""JPEG and PNG decoding: exact where it can be, and nothing is decoded that has the wrong size."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from policy_server.errors import WireError
from policy_server.images.image_codec import decode_image, encode_image, encoded_size
from robots.spec import U8Image


@pytest.fixture
def gradient() -> U8Image:
    """Shape (6, 8, 3): red grows downwards, blue to the right."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 0] = np.arange(6)[:, None] * 40
    image[..., 2] = np.arange(8)[None] * 30
    return image


def test_png_is_exact_and_rgb(gradient: U8Image) -> None:
    np.testing.assert_array_equal(decode_image("navigation", encode_image(gradient, "png"), (6, 8)), gradient)


def test_jpeg_is_close_and_rgb() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    got = decode_image("navigation", encode_image(red, "jpeg"), (16, 16))
    assert np.abs(got.astype(int) - red).max() < 8


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_size_is_read_from_the_header(gradient: U8Image, kind: str) -> None:
    assert encoded_size(encode_image(gradient, kind)) == (6, 8)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_wrong_size_says_got_and_expected(gradient: U8Image, kind: str) -> None:
    with pytest.raises(WireError, match=r"camera 'navigation': got shape \(6, 8, 3\)") as error:
        decode_image("navigation", encode_image(gradient, kind), (8, 6))
    assert (error.value.code, error.value.status) == ("image_size", 422)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_file_cut_short_is_no_image(gradient: U8Image, kind: str) -> None:
    data = encode_image(gradient, kind)
    for length in (0, 1, 10, len(data) // 2, len(data) - 3):
        with pytest.raises(WireError, match=f"got {length} bytes .* expected a whole JPEG or PNG file") as error:
            decode_image("navigation", data[:length], (6, 8))
        assert error.value.code == "not_an_image"


@pytest.mark.parametrize(
    "data", [b"hello", b"GIF89a" + bytes(60), b"\xff\xd8\xff\xd9", b"\xff\xd8" + bytes(50) + b"\xff\xd9"]
)
def test_anything_else_is_no_image(data: bytes) -> None:
    with pytest.raises(WireError) as error:
        decode_image("navigation", data, (6, 8))
    assert error.value.code == "not_an_image"


def test_a_body_that_does_not_decode_is_no_image(gradient: U8Image) -> None:
    data = bytearray(encode_image(gradient, "png"))
    data[40:-12] = bytes(len(data) - 52)
    with pytest.raises(WireError) as error:
        decode_image("navigation", bytes(data), (6, 8))
    assert error.value.code == "not_an_image"


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(WireError, match=r"got shape \(60000, 60000, 3\)"):
        decode_image("navigation", bomb, (6, 8))


def test_grey_images_become_rgb(gradient: U8Image) -> None:
    _, data = cv2.imencode(".png", gradient[..., 0])
    got = decode_image("navigation", data.tobytes(), (6, 8))
    np.testing.assert_array_equal(got, np.repeat(gradient[..., :1], 3, axis=2))


def test_an_orientation_tag_turns_nothing(gradient: U8Image) -> None:
    data = encode_image(np.repeat(np.repeat(gradient, 8, 0), 8, 1), "jpeg")
    exif = b"Exif\0\0" + b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + bytes(4)
    tagged = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    np.testing.assert_array_equal(decode_image("n", tagged, (48, 64)), decode_image("n", data, (48, 64)))


def test_fill_bytes_and_a_decoy_do_not_hide_the_size() -> None:
    """The frame header that another reader of the file would take is in a comment; the true one is 30000 x 30000."""
    decoy = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 84, 144) + b"\x03" + bytes(9)
    comment = bytearray(0xE000 + 64)
    comment[0xDFFC : 0xDFFC + len(decoy)] = decoy
    real = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 30_000, 30_000) + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
    lie = (
        b"\xff\xd8\xff\xff\xfe"
        + struct.pack(">H", len(comment) + 2)
        + bytes(comment)
        + real
        + b"\xff\xda\0\x02\xff\xd9"
    )
    assert refused(lie, (84, 144)) == "image_size"
    assert refused(b"\xff\xd8\xff\xff\xe0\x00\x02" + lie[2:], (84, 144)) == "image_size"


def refused(data: bytes, size: tuple[int, int]) -> str:
    with pytest.raises(WireError) as error:
        decode_image("navigation", data, size)
    return error.value.code


def test_a_jpeg_of_many_scans_is_refused_and_one_of_ten_is_not(gradient: U8Image) -> None:
    image = np.repeat(np.repeat(gradient, 8, 0), 8, 1)
    _, progressive = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    data = progressive.tobytes()
    assert np.abs(decode_image("n", data, (48, 64)).astype(int) - image).mean() < 8
    last = data.rindex(b"\xff\xda")
    assert refused(data[:-2] + data[last:-2] * 20 + b"\xff\xd9", (48, 64)) == "not_an_image"


def test_a_png_is_unpacked_no_further_than_its_header_says(gradient: U8Image) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = encode_image(gradient, "png")
    pixels = zlib.compress(bytes(64 * 2**20))  # of 6 x 25 bytes
    bomb = data[:33] + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    tracemalloc.start()
    assert refused(bomb, (6, 8)) == "not_an_image"
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("fill", [b"\xff", b"\xff\x01", b"\0", b"\xff\xda\0\x02"])
def test_no_file_is_slow_to_refuse(fill: bytes) -> None:
    body = fill * (4 * 2**20 // len(fill))
    for data in (b"\xff\xd8" + body + b"\xff\xd9", b"\xff\xd8\xff\xda\0\x02" + body + b"\xff\xd9"):
        started = time.process_time()
        assert refused(data, (6, 8)) == "not_an_image"
        assert time.process_time() - started < 1.0
