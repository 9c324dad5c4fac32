"""Arrays that arrive from elsewhere: their type and size are checked before anything is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from policy_server.errors import WireError

KINDS = "biuf"
"""Kinds of numbers that are read: bool, integer, unsigned, float. Objects, text and complex numbers are refused."""
MAX_DIMENSIONS = 8
MAX_DTYPE_CHARS = 8
MAX_SIDE = 2**31


def array_from(dtype: object, shape: object, data: object) -> npt.NDArray[Any]:
    """Returns the read-only array of a numpy type string, a shape and row-major bytes; WireError if they disagree."""
    kind = dtype_from(dtype)
    sizes = shape_from(shape)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise wrong("array data", type(data).__name__, "bytes")
    expected = math.prod(sizes) * kind.itemsize
    if len(data) != expected:
        raise wrong("array data", f"{len(data)} bytes", f"{expected} bytes for shape {sizes} {kind.name}")
    try:
        return np.frombuffer(data, dtype=kind).reshape(sizes)
    except ValueError as error:  # (0, 2**30, 2**30) has no bytes, but numpy rejects it
        raise wrong("array shape", sizes, "a shape that fits in memory") from error


def scalar_from(dtype: object, value: object) -> Any:
    """Returns the numpy number with this type string; WireError for anything else."""
    kind = dtype_from(dtype)
    if not isinstance(value, (bool, int, float)):
        raise wrong("number", type(value).__name__, "a number")
    try:
        return kind.type(value)
    except (ValueError, OverflowError) as error:
        raise wrong("number", f"{value!r:.40}", f"one that fits {kind.name}") from error


def dtype_from(text: object) -> np.dtype[Any]:
    """Returns the type of a numpy type string such as "|u1" or "<f8"; WireError unless it is one of `KINDS`."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if not isinstance(text, str) or len(text) > MAX_DTYPE_CHARS:
        raise wrong("array dtype", f"{text!r:.40}", "a numpy type string such as '|u1' or '<f4'")
    try:
        kind = np.dtype(text)
    except (TypeError, ValueError, SyntaxError) as error:
        raise wrong("array dtype", repr(text), "a numpy type string such as '|u1' or '<f4'") from error
    if kind.kind not in KINDS or kind.itemsize > 8 or kind.subdtype is not None:
        raise wrong("array dtype", repr(text), "bool, or an integer or float of at most 8 bytes")
    return kind


def shape_from(shape: object) -> tuple[int, ...]:
    """Returns a shape; WireError unless it is a list of at most `MAX_DIMENSIONS` sizes."""
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)) or len(shape) > MAX_DIMENSIONS:
        raise wrong("array shape", f"{shape!r:.60}", f"a list of at most {MAX_DIMENSIONS} sizes")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIDE:
            raise wrong("array shape", f"{shape!r:.60}", f"sizes from 0 to {MAX_SIDE}")
    return tuple(shape)


def wrong(what: str, got: object, expected: object, code: str = "invalid", status: int = 422) -> WireError:
    """Returns the error for a message that can be parsed but does not fit."""
    details = {"got": str(got)[:200], "expected": str(expected)[:200]}
    return WireError(f"{what}: got {got!s:.200}, expected {expected}", code=code, status=status, details=details)
