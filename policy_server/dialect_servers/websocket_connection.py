"""A websocket connection with a place among the server's connections and a time limit for its peer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from policy_server.serving.admission import SLOW_S, Places

ANSWERED = "websocket.send"


class WebsocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's websocket; an idle one is kept, since a robot may move for long between two decisions."""

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
        self._places = places
        self._slow_since_s: float | None = None
        self._asked = 0
        self._is_ending = False

    @property
    def address(self) -> str:
        """Address of the peer."""
        return self.client[0] if self.client else ""

    @property
    def is_working(self) -> bool:
        """True while a request is being answered."""
        return self._asked > 0 and self.writable.is_set()

    @property
    def waits_for_peer(self) -> bool:
        """True while the server waits for the rest of a handshake or message, or for the peer to read an answer."""
        if not self.writable.is_set():
            return True
        return not self._asked and (not self.handshake_complete or bool(self.frames) or bool(self.conn.reader.buffer))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Registers the connection."""
        super().connection_made(transport)
        self._places.take(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection."""
        self._places.give_back(self)
        if self in self.connections:
            super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        """Passes a whole message on."""
        self._asked += 1
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        """Sends what the application has to say; the first message greets, every later one answers."""
        await super().send(message)
        if message["type"] == ANSWERED and self._asked:
            self._asked, self._slow_since_s = self._asked - 1, None
            self._places.serve(self)
            if self._is_ending and not self._asked:
                super().shutdown()

    def shutdown(self) -> None:
        """Closes the connection at the end of the server, after the answer that is being computed."""
        self._is_ending = True
        if not self._asked or not self.handshake_complete:
            super().shutdown()

    def leave_if_slow(self, now_s: float | None = None) -> None:
        """Closes the connection if the server has waited for the peer at every call for longer than `SLOW_S`."""
        now_s = time.monotonic() if now_s is None else now_s
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
