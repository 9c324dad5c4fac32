"""msgpack with the arrays of openpi and RoboArena: a map with the keys __ndarray__, data, dtype and shape.

They write these keys as bytes; other servers of the same protocol write text. Both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from policy_server.dialects.arrays import KINDS, array_from, scalar_from
from policy_server.errors import WireError
from policy_server.wire.value_count import ValueCount

MAX_VALUES = 100_000
"""Values of all lists and maps of a message: a client may send a vector as a list, but no image."""
MAX_LENGTH = 16_384
"""Entries of one list or map."""


def pack(message: object) -> bytes:
    """Packs `message`, which may contain numpy arrays and numbers anywhere; WireError for arrays of objects or text."""
    packed: bytes = msgpack.packb(message, default=_pack)
    return packed


def unpack(data: bytes, hook: Any = None) -> dict[str, Any]:
    """Unpacks a map whose keys become text; WireError 400 if `data` is no such map, 422 for a wrong array.

    Unpacking stops after `MAX_VALUES` values, before it costs much memory or time. `hook` replaces the reading of
    arrays, for a protocol that marks them otherwise.
    """
    count = ValueCount(MAX_VALUES)
    read = hook or _unpack

    def mapping(pairs: dict[Any, Any]) -> Any:
        count(pairs)
        return read({_text(key): value for key, value in pairs.items()})

    limits = {"max_array_len": MAX_LENGTH, "max_map_len": MAX_LENGTH, "max_ext_len": 0}
    try:
        message = msgpack.unpackb(data, raw=False, strict_map_key=False, object_hook=mapping, list_hook=count, **limits)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise WireError(f"message: got bytes that are not msgpack ({error!s:.120}), expected msgpack") from error
    if not isinstance(message, dict):
        raise WireError(f"message: got {type(message).__name__}, expected a map", status=422, code="invalid")
    return message


def _text(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    if not isinstance(key, str):
        raise ValueError(f"a key that is {type(key).__name__}, not text")
    return key


def _unpack(fields: Mapping[str, Any]) -> Any:
    if "__ndarray__" in fields:
        return array_from(fields.get("dtype"), fields.get("shape"), fields.get("data"))
    if "__npgeneric__" in fields:
        return scalar_from(fields.get("dtype"), fields.get("data"))
    return fields


def _pack(value: object) -> dict[bytes, Any]:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in KINDS:
            raise WireError(f"array: got {value.dtype}, expected numbers")
        if isinstance(value, np.ndarray):
            shape = list(value.shape)
            return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": shape}
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise WireError(f"message: got {type(value).__name__}, expected plain values and numpy arrays")
