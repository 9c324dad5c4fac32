"""A client's end of the PyRobot protocol (docs/pyrobot_protocol.md): requests with ids and time limits, and a beat."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robots.drivers.pyrobot.pyrobot_server.messages import VERSION, Message, read_message, write_message
from robots.errors import ConnectionFailed, RobotError, SpecError

BEAT_S = 0.03
"""Between two beats: the server stops the robot after 0.5 s of silence."""

Answer = tuple[Message, bytes]


class ConnectionLost(RobotError):
    """The server is gone, does not answer any more, or violates the protocol."""


class Refused(RobotError):
    """The server refused a request; `code` is "busy", "request", "camera lost", "protocol" or "version"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of "host:port"; SpecError otherwise."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SpecError("address of the PyRobot server", repr(text), "host:port, e.g. 192.168.1.5:7077")
    return host, int(port)


@dataclass(frozen=True)
class Request:
    """Pending request; its answer is put into `answer`, None when there will be none."""

    op: str
    number: int
    answer: queue.SimpleQueue[Answer | None] = field(default_factory=queue.SimpleQueue)


class Link:
    """One connection. Requests may come from several threads at once.

    Args:
        address: "host:port" of the server.
        timeout_s: of connecting, and of an answer that has no motion to wait for.
        on_state: called in the link's own thread with each beat's answer and the time (monotonic, ns) it was asked at.

    Raises:
        ConnectionFailed: no server listens there, another client drives the robot, or the server is of another version.
    """

    def __init__(self, address: str, timeout_s: float, on_state: Callable[[Message, int], None]) -> None:
        self._timeout_s, self._on_state = timeout_s, on_state
        self._waiting: dict[int, queue.SimpleQueue[Answer | None]] = {}
        self._next, self._guard, self._writing = 0, threading.Lock(), threading.Lock()
        self._lost, self._closing = "", threading.Event()
        self._socket = _connected(address, timeout_s)
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._read, self._beat)]
        self._threads[0].start()
        try:
            self.server, _ = self.ask("hello", version=VERSION)
        except (Refused, ConnectionLost) as error:
            self.close()
            raise ConnectionFailed(f"PyRobot server at {address}: {error}") from error
        self._threads[1].start()

    @property
    def lost(self) -> str:
        """Reason why the connection is lost; empty while it is not."""
        return self._lost

    def ask(self, op: str, limit_s: float | None = None, **values: Any) -> Answer:
        """The answer to one request; ConnectionLost when none comes within `limit_s`, Refused when it is an error."""
        return self.wait(self.send(op, **values), self._timeout_s if limit_s is None else limit_s)

    def send(self, op: str, **values: Any) -> Request:
        """Sends a request; ConnectionLost when it cannot be sent."""
        with self._guard:
            self._next += 1
            request = Request(op, self._next)
            self._waiting[request.number] = request.answer
        self._write({**values, "op": op, "id": request.number})
        return request

    def wait(self, request: Request, limit_s: float) -> Answer:
        """The answer to what `send` sent; raises as `ask`."""
        try:
            answer = request.answer.get(timeout=limit_s)
        except queue.Empty:
            self.fail(f"no answer to {request.op} within {limit_s:.1f} s")
            answer = None
        finally:
            self._waiting.pop(request.number, None)
        if answer is None:
            raise ConnectionLost(f"lost: {self._lost}")
        _check(answer[0])
        return answer

    def fail(self, why: str) -> None:
        """Closes the connection and fails pending requests."""
        with self._guard:
            self._lost = self._lost or why
            waiting = list(self._waiting.values())
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader
        for answer in waiting:
            answer.put(None)

    def close(self) -> None:
        """Sends `bye` if the connection is alive, and ends."""
        self._closing.set()
        if not self._lost:
            with contextlib.suppress(RobotError):
                self.ask("bye", limit_s=0.5)
        self.fail("closed")
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(self._timeout_s)
        self._socket.close()

    def _write(self, header: Message) -> None:
        if self._lost:
            raise ConnectionLost(f"lost: {self._lost}")
        try:
            with self._writing:
                write_message(self._socket, header)
        except OSError as error:
            self.fail(f"sending failed: {error}")
            raise ConnectionLost(f"lost: {self._lost}") from error

    def _read(self) -> None:
        try:
            while True:
                header, body = read_message(self._socket)
                waiting = self._waiting.get(header.get("id") or 0)
                if waiting is not None:
                    waiting.put((header, body))
        except EOFError:
            self.fail("the server closed the connection")
        except (OSError, ValueError) as error:
            self.fail(f"{type(error).__name__}: {error}")

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_S) and not self._lost:
            asked_ns = time.monotonic_ns()
            with contextlib.suppress(RobotError):
                self._on_state(self.ask("beat")[0], asked_ns)


def _connected(address: str, timeout_s: float) -> socket.socket:
    try:
        connection = socket.create_connection(parse_address(address), timeout_s)
    except OSError as error:
        hint = "is pyrobot_server running on the robot, and does it listen on this network?"
        raise ConnectionFailed(f"PyRobot server at {address}: {error.strerror or error}; {hint}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)  # answers have time limits of their own; the beat notices a server that hangs
    return connection


def _check(header: Mapping[str, Any]) -> None:
    error = header.get("error")
    if error:
        raise Refused(str(error.get("code")), str(error.get("message")))
