"""Who may keep a connection to the server open: bounded in number and in time, so that no crowd keeps a robot out."""

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
BACKLOG = 32  # connections that the event loop takes in at a time
RESERVED_FILES = 512  # those just taken in, those just closed, and whatever else the process has open
SLOW_S = 10.0  # longest time for the head of a request, for the rest of a body nobody waits for, and to take a reply
DROP_EVERY_S = 0.016  # pause between two pieces of 256 KiB of a body that was refused: 16 MiB in a second
REQUEST_LOG = logging.getLogger("ferry.policy_server.requests")
REQUEST_LOG.setLevel(logging.ERROR)  # what a client sends wrongly is told to the client; it must not fill a disk


def connection_limit(wanted: int) -> int:
    """How many connections may be open: `wanted`, or what the limit of open files leaves, raised where it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(wanted, soft - RESERVED_FILES))
    return wanted


class Places:
    """The open connections, at most `most`, and which of them goes when one more comes.

    One from the address that has most of them; never served before served, served long ago before served lately, and
    last of all one that is being worked for. So a robot that asks now and then stays beside any number of silent ones.
    """

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self._most = most
        self._crowd: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # in the order in which they came
        self._served: dict[Connection, None] = {}  # in the order in which they were served

    def take(self, connection: Connection) -> None:
        """Gives `connection` a place, if need be that of another."""
        if len(self._waiting) + len(self._served) >= self._most:
            self._least_deserving(connection.address).leave()
        self._waiting[connection] = None
        self._crowd[connection.address] += 1

    def serve(self, connection: Connection) -> None:
        """Notes that a request of `connection` was answered."""
        if connection in self._served or connection in self._waiting:
            self._waiting.pop(connection, None)
            self._served.pop(connection, None)
            self._served[connection] = None

    def give_back(self, connection: Connection) -> None:
        """Frees the place of `connection`, if it has one."""
        if connection in self._served or connection in self._waiting:
            self._waiting.pop(connection, None)
            self._served.pop(connection, None)
            self._crowd[connection.address] -= 1
            self._crowd += Counter()  # forgets those who have none

    def is_served(self, connection: Connection) -> bool:
        """Whether a request of `connection` was answered."""
        return connection in self._served

    def close_slow(self) -> None:
        """Closes every connection whose peer is too slow; to be called about once a second."""
        now_s = time.monotonic()
        for one in [*self._waiting, *self._served]:
            one.leave_if_slow(now_s)

    def _least_deserving(self, newcomer: str) -> Connection:
        counts = Counter(self._crowd)
        counts[newcomer] += 1
        most = max(counts[address] for address in self._crowd)
        crowded = (one for one in (*self._waiting, *self._served) if counts[one.address] == most)
        first = next(crowded)
        return first if not first.is_working else next((one for one in crowded if not one.is_working), first)


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which has one of the `places` and whose peer may only be so slow."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        places: Places,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = REQUEST_LOG
        self._places = places
        self._slow_since_s: float | None = None

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self.client[0] if self.client else ""

    @property
    def is_answering(self) -> bool:
        """Whether a request is being read, worked on or replied to."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_working(self) -> bool:
        """Whether the server has a whole request of it and may reply at any time."""
        return self.is_answering and not self.cycle.more_body and not self.flow.write_paused

    @property
    def waits_for_peer(self) -> bool:
        """Whether it is the peer's turn: it owes the rest of a request, or takes no reply. A body has its own limit."""
        if self.is_answering:
            return self.flow.write_paused
        return (
            not self._places.is_served(self)
            or self.conn.their_state is not h11.IDLE
            or bool(self.conn.trailing_data[0])
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a place."""
        super().connection_made(transport)
        self._places.take(self)

    def data_received(self, data: bytes) -> None:
        """Reads on; what nobody waits for, as its request was refused already, is taken in slowly and dropped."""
        super().data_received(data)
        if not self.is_answering and self.conn.their_state is h11.SEND_BODY:
            self.flow.pause_reading()
            self.loop.call_later(DROP_EVERY_S, self.flow.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives its place back."""
        self._places.give_back(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Counts as served from now on."""
        self._slow_since_s = None
        self._places.serve(self)
        super().on_response_complete()

    def leave_if_slow(self, now_s: float) -> None:
        """Closes when it has been the peer's turn at every look for longer than `SLOW_S`."""
        if not self.waits_for_peer:
            self._slow_since_s = None
        elif self._slow_since_s is None:
            self._slow_since_s = now_s
        elif now_s - self._slow_since_s > SLOW_S:
            self.leave()

    def leave(self) -> None:
        """Closes at once, without waiting for what is still to be sent."""
        self._places.give_back(self)
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Says in typed JSON that this was no HTTP, and closes."""
        error = {"code": "bad_request", "message": f"request: got '{msg}', expected HTTP/1.1", "details": {}}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()
