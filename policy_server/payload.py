"""Reading request bodies: within a size and a time limit, by content type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from policy_server.errors import WireError
from policy_server.wire import JSON, MSGPACK, MULTIPART, ActRequest, invalid, unpack, unpack_json

MAX_PARTS = 16
READ_TIMEOUT_S = 10.0  # a body that trickles in slower than this is given up


class Payload:
    """Reads bodies of at most `max_bytes`."""

    def __init__(self, max_bytes: int, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._max_bytes, self._timeout_s = max_bytes, timeout_s

    async def json(self, request: Request) -> dict[str, object]:
        """The JSON object of a request; WireError 400, 408, 413 or 415."""
        _content_type(request, JSON)
        return unpack_json(await self._body(request))

    async def act_request(self, request: Request) -> tuple[ActRequest, str]:
        """The request for a decision and the content type it came in; WireError 400, 408, 413, 415 or 422."""
        kind = _content_type(request, MSGPACK, MULTIPART)
        fields = unpack(await self._body(request)) if kind == MSGPACK else await self._form(request)
        return ActRequest.from_fields(fields), kind

    async def _body(self, request: Request) -> bytes:
        async with _in_time(self._timeout_s):
            return b"".join([chunk async for chunk in self._limited(request)])

    async def _form(self, request: Request) -> dict[str, object]:
        """The field `observation` (JSON) and the files, by camera name, of a multipart body."""
        parser = MultiPartParser(
            request.headers,
            self._limited(request),
            max_files=MAX_PARTS,
            max_fields=MAX_PARTS,
            max_part_size=self._max_bytes,
        )
        try:
            async with _in_time(self._timeout_s):
                form = await parser.parse()
        except MultiPartException as error:
            raise WireError(f"form: got '{error.message}', expected {MULTIPART}") from error
        try:
            return await _form_fields(form)
        finally:
            await form.close()

    async def _limited(self, request: Request) -> AsyncGenerator[bytes, None]:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large(f"{declared} bytes")
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._max_bytes:
                    raise self._too_large(f"more than {self._max_bytes} bytes")
                yield chunk
        except ClientDisconnect as error:
            raise WireError("body: got a closed connection, expected the rest", code="disconnected") from error

    def _too_large(self, got: str) -> WireError:
        expected = f"at most {self._max_bytes} bytes"
        details = {"got": got, "expected": expected}
        return WireError(f"body: got {got}, expected {expected}", code="body_too_large", status=413, details=details)


async def _form_fields(form: FormData) -> dict[str, object]:
    fields: dict[str, object] | None = None
    images: dict[str, bytes] = {}
    for name, value in form.multi_items():
        if name in images or (name == "observation" and fields is not None):
            raise invalid("form", f"'{name}' twice", "every part once")
        data = await value.read() if isinstance(value, UploadFile) else value.encode()
        if name == "observation":
            fields = unpack_json(data, "observation")
        elif isinstance(value, UploadFile):
            images[name] = data
        else:
            raise invalid("form", f"text in '{name}'", "a file for each camera", code="unknown_field")
    if fields is None:
        raise invalid("form", "no 'observation'", "a JSON field 'observation'", code="missing_field")
    if "images" in fields:
        raise invalid("observation", "'images'", "pictures as files of their own", code="unknown_field")
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
        message = f"body: got only a part within {seconds:g} s, expected all of it"
        raise WireError(message, code="body_too_slow", status=408) from late
