"""JPEG files: parsed marker by marker and rewritten, so that OpenCV decodes only checked data."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

JPEG = b"\xff\xd8"
END = 0xD9
SCAN = 0xDA
SIZES = (
    0xC0,
    0xC1,
    0xC2,
)  # SOF0 to SOF2 of ITU-T T.81: baseline, extended, progressive
OTHER_SIZES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}  # lossless and arithmetic coding, which no camera sends
KEPT = {0xC4, 0xDB, 0xDD, 0xE0, 0xEE}  # Huffman and quantisation tables, restart interval, JFIF, Adobe's colour space
MAX_SCANS = 12  # progressive files that libjpeg writes have 10
MAX_SEGMENTS = 256
MARKER = re.compile(rb"\xff{1,16}([^\x00\xff])")  # fill bytes may precede a marker


class NotJpeg(ValueError):
    """The file is not a complete JPEG of the kind that cameras send."""


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Returns (height, width) from the frame header of the JPEG file `data`; NotJpeg without one."""
    for marker, segment in _segments(data):
        if marker in SIZES:
            return _frame(segment)
    raise NotJpeg("no frame header")


def checked_jpeg(data: bytes) -> bytes:
    """Returns the image with only the segments needed to decode it; NotJpeg if it is incomplete or too expensive.

    One frame header, at most `MAX_SCANS` scans, and no bytes that another parser could take for more.
    """
    kept, frames, scans = [JPEG], 0, 0
    for marker, segment in _segments(data):
        if marker in SIZES:
            _frame(segment)
            frames += 1
        scans += marker == SCAN
        if frames > 1 or scans > MAX_SCANS:
            raise NotJpeg(f"{frames} frame headers and {scans} scans, expected 1 and at most {MAX_SCANS}")
        if marker in KEPT or marker in SIZES or marker == SCAN:
            kept.append(bytes([0xFF, marker]) + segment)
    if not frames or not scans:
        raise NotJpeg("no frame header or no scan")
    return b"".join([*kept, bytes([0xFF, END])])


def _frame(segment: bytes) -> tuple[int, int]:
    if len(segment) < 8 or segment[2] != 8 or segment[7] not in (1, 3):
        raise NotJpeg("a frame header that is not of 8 bits in 1 or 3 colours")
    height, width = struct.unpack(">HH", segment[3:7])
    return height, width


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields (marker, length and body) of every segment up to the end; a scan's body extends to the next marker."""
    at, markers = len(JPEG), None
    if not data.startswith(JPEG):
        raise NotJpeg("no start")
    for _ in range(MAX_SEGMENTS):
        found = MARKER.match(data, at)
        if found is None:
            raise NotJpeg("something else where a marker belongs, or the file is cut short")
        marker, start = found[1][0], found.end()
        if marker == END:
            return
        length = int.from_bytes(data[start : start + 2], "big")
        at = start + length
        if length < 2 or at > len(data) or marker in OTHER_SIZES or 0xD0 <= marker <= 0xD8:
            raise NotJpeg(f"segment {marker:#x} with {length} bytes")
        if marker == SCAN:
            markers = _markers(data) if markers is None else markers
            after = np.searchsorted(markers, at)
            if after == len(markers):
                raise NotJpeg("a scan that does not end")
            at = int(markers[after])
        yield marker, data[start:at]
    raise NotJpeg(f"more than {MAX_SEGMENTS} segments")


def _markers(data: bytes) -> npt.NDArray[np.intp]:
    """Returns the offsets of markers that end a scan: neither stuffed bytes nor restarts. numpy releases the GIL."""
    first, second = np.frombuffer(data[:-1], np.uint8), np.frombuffer(data[1:], np.uint8)
    return np.flatnonzero((first == 0xFF) & (second != 0) & (second != 0xFF) & (second & 0xF8 != 0xD0))
