"""Admission of connections: bounded in number and in time, so that no number of clients locks a robot out."""

from __future__ import annotations

import asyncio
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
BACKLOG = 32  # connections that the event loop accepts at a time
RESERVED_FILES = 512  # connections just accepted or just closed, and the process's other files
SLOW_S = 10.0  # timeout of a request's head, of the rest of a refused body, and of reading a reply
DROP_EVERY_S = 0.016  # pause between two chunks of 256 KiB of a refused body: 16 MiB per second
REQUEST_LOG = logging.getLogger("ferry.policy_server.requests")
REQUEST_LOG.setLevel(logging.ERROR)  # a client's mistakes are reported to the client; they must not fill a disk


def connection_limit(wanted: int) -> int:
    """Returns the number of connections that may be open, up to `wanted`; raises the limit of open files if allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(wanted, soft - RESERVED_FILES))
    return wanted


class Places:
    """The open connections, at most `most`, and the choice of the one to close when another arrives.

    It is taken from the address with the most connections: first those never served, then the least recently served,
    last those with a request in progress. So a robot with occasional requests is kept among any number of idle ones.
    """

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self._most = most
        self._by_address: Counter[str] = Counter()
        self._waiting: dict[PlacedConnection, None] = {}  # in the order in which they came
        self._served: dict[PlacedConnection, None] = {}  # in the order in which they were served

    def take(self, connection: PlacedConnection) -> None:
        """Adds `connection`; if there is no room, closes another one."""
        if len(self._waiting) + len(self._served) >= self._most:
            self._least_deserving(connection.address).leave()
        self._waiting[connection] = None
        self._by_address[connection.address] += 1

    def serve(self, connection: PlacedConnection) -> None:
        """Marks that a request of `connection` was answered."""
        if connection in self._served or connection in self._waiting:
            self._waiting.pop(connection, None)
            self._served.pop(connection, None)
            self._served[connection] = None

    def give_back(self, connection: PlacedConnection) -> None:
        """Removes `connection`, if it is present."""
        if connection in self._served or connection in self._waiting:
            self._waiting.pop(connection, None)
            self._served.pop(connection, None)
            self._by_address[connection.address] -= 1
            self._by_address += Counter()  # drops addresses without connections

    def is_served(self, connection: PlacedConnection) -> bool:
        """Returns True if a request of `connection` was answered."""
        return connection in self._served

    def close_slow(self) -> None:
        """Closes every connection whose peer is too slow; called about once a second."""
        now_s = time.monotonic()
        for connection in [*self._waiting, *self._served]:
            connection.leave_if_slow(now_s)

    def _least_deserving(self, newcomer: str) -> PlacedConnection:
        counts = Counter(self._by_address)
        counts[newcomer] += 1
        most = max(counts[address] for address in self._by_address)
        crowded = (each for each in (*self._waiting, *self._served) if counts[each.address] == most)
        first = next(crowded)
        return first if not first.is_working else next((each for each in crowded if not each.is_working), first)


class PlacedConnection(asyncio.Protocol):
    """A connection with a place among `places` and a time limit for its peer; comes before uvicorn's class of it."""

    client: tuple[str, int] | None
    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        places: Places,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)  # type: ignore[call-arg]  # of uvicorn's class
        self._places = places
        self._slow_since_s: float | None = None

    @property
    def address(self) -> str:
        """Address of the peer."""
        return self.client[0] if self.client else ""

    @property
    def is_working(self) -> bool:
        """True while the server processes a complete request."""
        raise NotImplementedError

    @property
    def waits_for_peer(self) -> bool:
        """True while the server waits for the peer to send or read a message."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Registers the connection."""
        super().connection_made(transport)
        self._places.take(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection."""
        self._places.give_back(self)
        super().connection_lost(exc)

    def served(self) -> None:
        """Marks that a request was answered."""
        self._slow_since_s = None
        self._places.serve(self)

    def leave_if_slow(self, now_s: float) -> None:
        """Closes the connection if the server has waited for the peer at every call for longer than `SLOW_S`."""
        if not self.waits_for_peer:
            self._slow_since_s = None
        elif self._slow_since_s is None:
            self._slow_since_s = now_s
        elif now_s - self._slow_since_s > SLOW_S:
            self.leave()

    def leave(self) -> None:
        """Closes at once, and drops unsent data."""
        self._places.give_back(self)
        self.transport.abort()


class Connection(PlacedConnection, H11Protocol):
    """uvicorn's HTTP/1.1 connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = REQUEST_LOG

    @property
    def is_answering(self) -> bool:
        """True while a request is being read, processed or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_working(self) -> bool:
        """True while the server processes a complete request."""
        return self.is_answering and not self.cycle.more_body and not self.flow.write_paused

    @property
    def waits_for_peer(self) -> bool:
        """True while the server waits for the peer to send or read a message. Bodies have their own limit."""
        if self.is_answering:
            return self.flow.write_paused
        return (
            not self._places.is_served(self)
            or self.conn.their_state is not h11.IDLE
            or bool(self.conn.trailing_data[0])
        )

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection over to a websocket, which takes a place of its own."""
        self._places.give_back(self)
        super().handle_websocket_upgrade(event)

    def data_received(self, data: bytes) -> None:
        """Reads data; the body of a refused request is read slowly and dropped."""
        super().data_received(data)
        if not self.is_answering and self.conn.their_state is h11.SEND_BODY:
            self.flow.pause_reading()
            self.loop.call_later(DROP_EVERY_S, self.flow.resume_reading)

    def on_response_complete(self) -> None:
        """Marks the connection as served."""
        self.served()
        super().on_response_complete()

    def leave(self) -> None:
        """Closes at once, and drops unsent data."""
        super().leave()
        self.connections.discard(self)

    def send_400_response(self, msg: str) -> None:
        """Sends a typed JSON error for a request that is not HTTP, and closes."""
        error = {"code": "bad_request", "message": f"request: got '{msg}', expected HTTP/1.1", "details": {}}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()
