"""Reads request bodies within a size and a time limit, by content type; `ActBody.read` parses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from policy_server.errors import WireError
from policy_server.serving.form import form_parts
from policy_server.wire.messages import (
    JSON,
    MAX_JSON_BYTES,
    MSGPACK,
    MULTIPART,
    ActRequest,
    invalid,
    too_large,
    unpack,
    unpack_json,
)

READ_TIMEOUT_S = 10.0  # timeout of a whole body


@dataclass(frozen=True)
class ActBody:
    """The unparsed body of a request for a decision; `kind` is its content type, `header` includes the parameters."""

    kind: str
    header: str
    data: bytes

    def read(self) -> ActRequest:
        """Parses the request; WireError 400, 413 or 422. Takes milliseconds: call it outside the event loop."""
        if self.kind == MSGPACK:
            return ActRequest.from_fields(unpack(self.data))
        return ActRequest.from_fields(_form_fields(self.header, self.data))


class Payload:
    """Reads bodies of at most `max_bytes`."""

    def __init__(self, max_bytes: int, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._max_bytes, self._timeout_s = max_bytes, timeout_s

    async def json(self, request: Request) -> bytes:
        """Returns the body of a JSON request; WireError 400, 408, 413 or 415."""
        _content_type(request, JSON)
        return await self._body(request, min(MAX_JSON_BYTES, self._max_bytes))

    async def act(self, request: Request) -> ActBody:
        """Returns the body of a request for a decision; WireError 400, 408, 413 or 415."""
        kind = _content_type(request, MSGPACK, MULTIPART)
        return ActBody(kind, request.headers["content-type"], await self._body(request, self._max_bytes))

    async def _body(self, request: Request, most: int) -> bytes:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > most:
            raise too_large("body", f"{declared} bytes", most)
        data = bytearray()
        try:
            async with _in_time(self._timeout_s):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > most:
                        raise too_large("body", f"more than {most} bytes", most)
        except ClientDisconnect as error:
            raise WireError(
                "body: the connection was closed before the whole body arrived", code="disconnected"
            ) from error
        return bytes(data)


def _form_fields(content_type: str, body: bytes) -> dict[str, object]:
    """Returns the JSON field `observation` and the files, by camera name, of a multipart body."""
    fields: dict[str, object] | None = None
    images: dict[str, bytes] = {}
    for part in form_parts(content_type, body):
        if part.name in images or (part.name == "observation" and fields is not None):
            raise invalid("form", f"'{part.name}' twice", "every part once")
        if part.name == "observation":
            fields = unpack_json(part.data, "observation")
        elif part.is_file:
            images[part.name] = part.data
        else:
            raise invalid("form", f"text in '{part.name}'", "a file for each camera", code="unknown_field")
    if fields is None:
        raise invalid("form", "no 'observation'", "a JSON field 'observation'", code="missing_field")
    if "images" in fields:
        raise invalid("observation", "'images'", "images as separate files", code="unknown_field")
    return {**fields, "images": images}


def _content_type(request: Request, *allowed: str) -> str:
    got = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if got not in allowed:
        expected = " or ".join(allowed)
        message = f"content type: got '{got[:60]}', expected {expected}"
        details = {"got": got[:60], "expected": expected}
        raise WireError(message, code="unsupported_media_type", status=415, details=details)
    return got


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        message = f"body: not complete within {seconds:g} s"
        raise WireError(message, code="body_too_slow", status=408) from late
