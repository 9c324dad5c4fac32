"""Messages of the PyRobot protocol; docs/pyrobot_protocol.md describes them."""

# ruff: noqa: UP006, UP035
import json
import socket
import struct
from typing import Any, Dict, List, Tuple

VERSION = 2
MOST_HEADER, MOST_BODY = 1 << 16, 1 << 25

Message = Dict[str, Any]


def write_message(connection: socket.socket, header: Message, body: bytes = b"") -> None:
    """Sends one message: the header's length (4 bytes, big-endian), the header as JSON, `header["bytes"]` of body."""
    text = json.dumps(dict(header, bytes=len(body))).encode("utf-8")
    connection.sendall(struct.pack(">I", len(text)) + text + body)


def read_message(connection: socket.socket) -> Tuple[Message, bytes]:
    """One message; EOFError when the other side closed, ValueError when it is none."""
    (length,) = struct.unpack(">I", _read(connection, 4))
    if not 2 <= length <= MOST_HEADER:
        raise ValueError(f"header: got {length} bytes, expected 2 to {MOST_HEADER}")
    header = json.loads(_read(connection, length).decode("utf-8"))
    size = header.get("bytes") if isinstance(header, dict) else None
    if not isinstance(size, int) or not 0 <= size <= MOST_BODY:
        raise ValueError(f"body: got {size} bytes, expected 0 to {MOST_BODY}")
    return header, _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    parts: List[bytes] = []
    while size:
        parts.append(connection.recv(min(size, 1 << 16)))
        if not parts[-1]:
            raise EOFError("the other side closed the connection")
        size -= len(parts[-1])
    return b"".join(parts)
