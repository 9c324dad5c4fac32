"""HTTP requests to one server, each with a deadline for its whole duration."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import httpx

from policy_server.errors import Refused, Unreachable, WireError
from policy_server.wire.messages import JSON

MAX_REPLY_BYTES = 16 * 2**20
MAX_ERROR_BYTES = 64 * 1024
# Nothing was answered, so a retry is safe: GET and DELETE are idempotent, and a request for a decision has its step,
# which the server answers once. Opening a session is not idempotent.
GONE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Connection:
    """Sends requests to the server at `url`; keeps the TCP connection between them."""

    def __init__(self, url: str, *, token: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        # A compressed reply could unpack to any size.
        headers = {b"Accept-Encoding": b"identity"}
        if token:
            headers[b"Authorization"] = f"Bearer {token}".encode()
        # trust_env would put a proxy from the environment between a robot and its policy.
        self._http = httpx.Client(base_url=url, headers=headers, transport=transport, trust_env=False)
        self._name = f"policy server {url}"

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        kind: str = JSON,
        timeout_s: float,
        again: bool = False,
    ) -> bytes:
        """Returns the body of a 2xx reply; Refused for any other reply, Unreachable if none is complete in `timeout_s`.

        A server may close a kept connection just as a request is sent on it. GET and DELETE, and others with `again`,
        are then sent once more on a new connection, if nothing was answered.
        """
        if timeout_s <= 0:
            raise Unreachable(f"{self._name}: deadline already passed before the request was sent")
        deadline = time.monotonic() + timeout_s
        headers, timeout = {"Content-Type": kind}, httpx.Timeout(max(timeout_s, 1e-3))
        request = self._http.build_request(method, path, content=body, headers=headers, timeout=timeout)
        tries = 2 if again or method in ("GET", "DELETE") else 1
        status, data = within(timeout_s, self._name, lambda: self._exchange(request, deadline, tries))
        if 200 <= status < 300:
            return data
        raise _refusal(status, data)

    def close(self) -> None:
        """Closes the TCP connection."""
        self._http.close()

    def _exchange(self, request: httpx.Request, deadline: float, tries: int) -> tuple[int, bytes]:
        try:
            response = self._begin(request, deadline, tries)
            try:
                return response.status_code, _read(response, deadline)
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self._name}: no answer in time ({type(error).__name__})") from error
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"{self._name}: no answer: {error} ({type(error).__name__})") from error

    def _begin(self, request: httpx.Request, deadline: float, tries: int) -> httpx.Response:
        """Sends the request, and returns the reply's head."""
        for _ in range(tries - 1):
            try:
                return self._http.send(request, stream=True)
            except GONE:
                if time.monotonic() > deadline:
                    raise
        return self._http.send(request, stream=True)


def within(seconds: float, what: str, call: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """Returns the result of `call`, run in another thread; Unreachable if it takes longer than `seconds`.

    A timeout per read or write does not bound a DNS lookup that hangs or a server that sends one byte at a time;
    waiting for another thread does. That thread is a daemon and ends with its own timeouts.
    """
    results: SimpleQueue[tuple[int, bytes] | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            results.put(call())
        except BaseException as error:  # raised again in the waiting thread
            results.put(error)

    threading.Thread(target=run, name="policy-request", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except Empty:
        raise Unreachable(f"{what}: no complete answer within {seconds:g} s") from None
    if isinstance(result, BaseException):
        raise result
    return result


def _read(response: httpx.Response, deadline: float) -> bytes:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise WireError(f"reply: got content-encoding {encoding[:40]!r}, expected none")
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("deadline passed")
        if len(data) > MAX_REPLY_BYTES:
            raise WireError(f"reply: got more than {MAX_REPLY_BYTES} bytes, expected at most that")
    return bytes(data)


def _refusal(status: int, data: bytes) -> Refused:
    try:
        error = json.loads(data[:MAX_ERROR_BYTES])["error"]
        code, message, details = str(error["code"]), str(error["message"]), dict(error["details"])
    except (ValueError, KeyError, TypeError, RecursionError):
        what = f"HTTP {status}: {data[:80]!r}, not a typed error"
        return Refused(what, code=f"http_{status}", status=status)
    return Refused(message, code=code, status=status, details=details)
