"""Parser of multipart forms, in linear time for any input."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from policy_server.errors import WireError
from policy_server.wire.messages import MULTIPART

MAX_PARTS = 16
MAX_HEADER_BYTES = 2048  # of one part


@dataclass(frozen=True)
class Part:
    """One part of a form: a field, or a file when it has a file name."""

    name: str
    data: bytes
    is_file: bool


def form_parts(content_type: str, body: bytes) -> list[Part]:
    """Returns the parts of a multipart `body`, in order; WireError 400 if it is not one."""
    delimiter = b"\r\n--" + _boundary(content_type)
    _, *pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if not pieces or not pieces[-1].startswith(b"--"):
        raise _no_form(f"no closing boundary, or more than {MAX_PARTS} parts")
    return [_part(piece) for piece in pieces[:-1]]


def _boundary(content_type: str) -> bytes:
    head = Message()
    try:
        head["Content-Type"] = content_type
        boundary = (head.get_boundary() or "").encode("ascii")
    except (ValueError, TypeError, LookupError):
        boundary = b""
    if not boundary:
        raise _no_form("no boundary")
    return boundary


def _part(piece: bytes) -> Part:
    head, found, data = piece.partition(b"\r\n\r\n")
    if not found or not head.startswith(b"\r\n") or len(head) > MAX_HEADER_BYTES:
        raise _no_form("a part without a header")
    try:
        header = HeaderParser().parsestr(head[2:].decode())
        name = header.get_param("name", header="content-disposition")
        is_file = header.get_filename() is not None
    except (ValueError, TypeError, LookupError) as error:  # codecs named in a header may raise any of these
        raise _no_form("a header that is not UTF-8") from error
    if not isinstance(name, str):
        raise _no_form("a part without a name")
    return Part(name, data, is_file)


def _no_form(got: str) -> WireError:
    return WireError(f"form: got {got}, expected {MULTIPART}")
