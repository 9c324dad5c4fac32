"""msgpack with the arrays of GR00T: a map with the keys __ndarray_class__ and as_npy, the bytes of an .npy file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from policy_server.dialects import msgpack_codec
from policy_server.dialects.arrays import KINDS, array_from, wrong
from policy_server.errors import WireError

MAGIC, START = b"\x93NUMPY\x01\x00", 10
MAX_HEADER = 256  # characters; that of a plain array has fewer than 128
HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[a-z]\d)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,10}, ?)*(?:\d{1,10})?)\), \} *\n?"
)
"""Header that numpy writes for an array of numbers."""


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
    """Reads an .npy file without trusting it: its header is matched, not evaluated, and no pickle is ever loaded."""
    if not isinstance(data, bytes):
        raise wrong("array", type(data).__name__, "the bytes of an .npy file")
    length = int.from_bytes(data[len(MAGIC) : START], "little")
    header = HEADER.fullmatch(data[START : START + min(length, MAX_HEADER)])
    if not data.startswith(MAGIC) or header is None:
        raise wrong("array", f"{data[:16]!r}", "an .npy file of version 1.0 with numbers")
    dtype, fortran, sizes = header.groups()
    shape = tuple(int(size) for size in sizes.split(b",") if size.strip())
    in_memory = shape[::-1] if fortran == b"True" else shape
    array = array_from(dtype, in_memory, data[START + length :])
    return array.T if fortran == b"True" else array


def _pack(value: object) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in KINDS:
            raise WireError(f"array: got {value.dtype}, expected numbers")
        stream = io.BytesIO()
        np.lib.format.write_array(stream, value, version=(1, 0), allow_pickle=False)
        return {"__ndarray_class__": True, "as_npy": stream.getvalue()}
    raise WireError(f"message: got {type(value).__name__}, expected plain values and numpy arrays")
