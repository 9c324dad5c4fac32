"""A server of openpi's protocol whose answers a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from policy_server.dialects import msgpack_codec
from policy_server.errors import PolicyError

Answer = Callable[[dict[str, Any]], bytes | str | None]


@contextmanager
def answering(answer: Answer, greeting: bytes | str = msgpack_codec.pack({})) -> Iterator[str]:
    """A websocket server with openpi's protocol, whose answers a test chooses; None hangs up.

    What it cannot read is answered in words.
    """

    def handle(socket: ServerConnection) -> None:
        try:
            socket.send(greeting)
            for message in socket:
                assert isinstance(message, bytes)
                try:
                    reply = answer(msgpack_codec.unpack(message))
                except (PolicyError, KeyError) as error:
                    reply = f"{type(error).__name__}: {error}"
                if reply is None:
                    return
                socket.send(reply)
        except ConnectionClosed:
            return

    def healthy(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(200, "OK\n") if request.path == "/healthz" else None

    with serve(handle, "127.0.0.1", 0, compression=None, process_request=healthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"openpi://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
