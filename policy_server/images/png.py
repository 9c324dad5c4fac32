"""PNG files: the header is checked against the data before OpenCV decodes it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"PLTE", b"IDAT")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # grey, RGB, palette, grey and alpha, RGB and alpha
MAX_CHUNKS = 8192  # libpng writes chunks of 8 KiB, so this is 64 MiB


class NotPng(ValueError):
    """The file is not a complete PNG of the kind that cameras send: at most 8 bits per channel, not interlaced."""


def png_size(data: bytes) -> tuple[int, int]:
    """Returns (height, width) from the header of the PNG file `data`; NotPng without one."""
    height, width, _ = _header(data)
    return height, width


def checked_png(data: bytes) -> bytes:
    """Returns the image with only the chunks needed to decode it; its pixels are unpacked but not yet filtered.

    NotPng if it does not contain exactly the pixels that its header states. No more than those is unpacked.
    """
    height, width, bits = _header(data)
    chunks: dict[bytes, list[bytes]] = {}
    for kind, body in _chunks(data):
        if kind in KEPT:
            chunks.setdefault(kind, []).append(body)
    size = height * (1 + (width * bits + 7) // 8)
    unpacking = zlib.decompressobj()
    try:
        pixels = unpacking.decompress(b"".join(chunks.get(b"IDAT", [])), size + 1)
    except zlib.error as error:
        raise NotPng(f"pixels that do not unpack: {error}") from error
    if len(pixels) != size or not unpacking.eof:
        raise NotPng(f"{len(pixels)} bytes of pixels or more, expected {size}")
    palette = [_chunk(b"PLTE", body) for body in chunks.get(b"PLTE", [])[:1]]
    stored = _chunk(b"IDAT", zlib.compress(pixels, 0))
    return b"".join([PNG, _chunk(b"IHDR", chunks[b"IHDR"][0]), *palette, stored, _chunk(b"IEND", b"")])


def _header(data: bytes) -> tuple[int, int, int]:
    """Returns (height, width, bits per pixel)."""
    if not data.startswith(PNG) or data[8:16] != b"\0\0\0\x0dIHDR" or len(data) < 33:
        raise NotPng("no header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth not in (1, 2, 4, 8) or colour not in CHANNELS or interlaced:
        raise NotPng(f"{depth} bits, colour type {colour}, interlace {interlaced}")
    return height, width, depth * CHANNELS[colour]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields (kind, body) of every chunk up to the end; NotPng if one is damaged or the end is missing."""
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body, end = data[at + 4 : at + 8], data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise NotPng("a chunk that is damaged or cut short")
        yield kind, body
        if kind == b"IEND":
            return
        at = end
    raise NotPng(f"more than {MAX_CHUNKS} chunks")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
