"""msgpack with the arrays of GR00T: a map with the keys __ndarray_class__ and as_npy, the bytes of an .npy file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from policy_server.dialects import msgpack_codec
from policy_server.dialects.arrays import KINDS, array_from, wrong
from policy_server.errors import WireError

MAX_HEADER = 256
"""Characters of an .npy file's header; one of a plain array has fewer than 128."""


def pack(message: object) -> bytes:
    """Packs `message`, which may contain numpy arrays anywhere."""
    packed: bytes = msgpack.packb(message, default=_pack)
    return packed


def unpack(data: bytes) -> dict[str, Any]:
    """Unpacks a map; WireError as in `msgpack_codec.unpack`, and for a list at the top."""
    return msgpack_codec.unpack(data, _unpack)


def unpack_reply(data: bytes) -> Any:
    """Unpacks a reply, which is a list [action, info] or a map; WireError as in `unpack`."""
    return msgpack_codec.unpack(b"\x81\xa5reply" + data, _unpack)["reply"]


def _unpack(fields: Mapping[str, Any]) -> Any:
    if "__ndarray_class__" in fields:
        return _read_npy(fields.get("as_npy"))
    if "__ModalityConfig_class__" in fields:
        return fields.get("as_json")
    return fields


def _read_npy(data: object) -> npt.NDArray[Any]:
    """Reads an .npy file without trusting its header: no pickle, nothing allocated before the length was checked."""
    if not isinstance(data, bytes):
        raise wrong("array", type(data).__name__, "the bytes of an .npy file")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=MAX_HEADER)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, EOFError) as error:
        raise wrong("array", f"no .npy file ({error!s:.80})", "an .npy file of version 1.0") from error
    order = tuple(reversed(shape)) if fortran else tuple(shape)
    array = array_from(dtype.str, order, data[stream.tell() :])
    return array.T if fortran else array


def _pack(value: object) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in KINDS:
            raise WireError(f"array: got {value.dtype}, expected numbers")
        stream = io.BytesIO()
        np.lib.format.write_array(stream, value, version=(1, 0), allow_pickle=False)
        return {"__ndarray_class__": True, "as_npy": stream.getvalue()}
    raise WireError(f"message: got {type(value).__name__}, expected plain values and numpy arrays")
