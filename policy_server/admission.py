"""Who may keep a connection to the server open: bounded in number and in time, so that no crowd keeps a robot out."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = 256
RESERVED_FILES = 64  # for the bundle, logs and whatever else the process opens
SLOW_S = 10.0  # longest time to send one request's head, what is left of a body, or to take one reply
REQUEST_LOG = logging.getLogger("ferry.policy_server.requests")
REQUEST_LOG.setLevel(logging.ERROR)  # what a client sends is told to the client; it must not fill a disk


def connection_limit(wanted: int) -> int:
    """How many connections may be open: `wanted`, or what the limit of open files leaves, which is raised if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft < needed:
        soft = min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - RESERVED_FILES))


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, with a place among a limited number and a limit to how slow it may be."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = REQUEST_LOG
        self.since_s = self.served_s = time.monotonic()
        self.served = False
        """Whether a request of it was answered; `served_s` says when, else when it came."""

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self.client[0] if self.client else ""

    @property
    def is_answering(self) -> bool:
        """Whether a request is being worked on."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_slow(self) -> bool:
        """Whether its peer has for too long neither ended what it sends nor taken what it is sent."""
        waits = self.cycle.response_started if self.is_answering else not self.is_idle
        return waits and time.monotonic() - self.since_s > SLOW_S

    @property
    def is_idle(self) -> bool:
        """Whether it stands between two requests."""
        return self.served and not self.is_answering and self.conn.their_state is h11.IDLE and not self._begun

    _begun = False
    """Whether a part of a request's head is there."""

    def connection_made(self, transport: Any) -> None:
        """Takes its place; when there is none, the one goes that deserves it least."""
        super().connection_made(transport)
        others: list[Any] = list(self.connections)
        if len(others) > self.config.max_connections:  # type: ignore[attr-defined]
            least_deserving(others).leave()

    def data_received(self, data: bytes) -> None:
        """Reads on, and remembers since when a request's head is incomplete."""
        if not self.is_answering and not self._begun:
            self._begun, self.since_s = True, time.monotonic()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._begun = False

    def on_response_complete(self) -> None:
        """Counts as served from now on."""
        self.served, self.served_s = True, time.monotonic()
        self.since_s, self._begun = self.served_s, False
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Says in typed JSON that this was no HTTP, and closes."""
        error = {"code": "bad_request", "message": f"request: got '{msg}', expected HTTP/1.1", "details": {}}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def leave(self) -> None:
        """Closes at once, without waiting for what is still to be sent."""
        self.connections.discard(self)
        self.transport.abort()


def least_deserving(connections: list[Connection]) -> Connection:
    """The connection that has to go: from the address that holds most of them, one that was never served, else the one
    that was served longest ago."""
    crowd = Counter(one.address for one in connections)
    most = max(crowd.values())
    candidates = [one for one in connections if crowd[one.address] == most]
    return min(candidates, key=lambda one: (one.is_answering and one.served, one.served, one.served_s))


def close_slow(connections: list[Connection]) -> None:
    """Closes every connection whose peer is too slow."""
    for one in connections:
        if one.is_slow:
            one.leave()
