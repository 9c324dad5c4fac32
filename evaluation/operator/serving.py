"""Servers in this process: one in a thread of its own, and the address and QR code of the page."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from evaluation.errors import TrialError
from policy_server.serve import listen
from policy_server.serving.admission import Connection, Places, connection_limit

START_S = 120.0
"""Longest time that an application may take to start: bundles are warmed up."""
GRACE_S = 2
KEEP_ALIVE_S = 75
MAX_CONNECTIONS = 64


@contextmanager
def in_thread(app: Any, host: str, port: int) -> Iterator[str]:
    """Serves an application from a thread; yields its address once it answers.

    Raises:
        OSError: the port is taken.
        TrialError: the application did not start.
    """
    listener = listen(host, port)
    server = _Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=f"server {port}", daemon=True)
    thread.start()
    try:
        until = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise TrialError(f"the server at {host}:{port} did not start; its log has the reason")
            time.sleep(0.02)
        yield address(*listener.getsockname()[:2])
    finally:
        server.should_exit = True
        thread.join(GRACE_S + 3)
        listener.close()


class _Server(uvicorn.Server):
    """Nobody who holds connections open keeps a stop out; no access log, which would hold the token."""

    def __init__(self, app: Any) -> None:
        self._places = Places(connection_limit(MAX_CONNECTIONS))
        protocol: Any = partial(Connection, places=self._places)
        config = uvicorn.Config(
            app, http=protocol, ws="none", access_log=False, log_level="warning",
            timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=KEEP_ALIVE_S,
        )  # fmt: skip
        super().__init__(config)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the server."""
        if counter % 10 == 0:
            self._places.close_slow()
        return await super().on_tick(counter)


def address(host: str, port: int) -> str:
    """Returns the URL at which others reach a server; for a server on every interface, that of the network's."""
    if host in ("0.0.0.0", "::"):
        host = own_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def own_address() -> str:
    """Returns this machine's address in its network; 127.0.0.1 without one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of TEST-NET-1: it only chooses the interface
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def show_code(url: str) -> None:
    """Prints a QR code of an address, and the address."""
    import segno

    if sys.stdout.isatty():
        segno.make(url, error="l", micro=False).terminal(compact=True)
    print(url, flush=True)
