"""`ferry serve BUNDLE`: serves one policy over REST until SIGINT or SIGTERM."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import tyro
import uvicorn
from fastapi import FastAPI

from policy_server.bundle import PolicyBundle
from policy_server.errors import PolicyError
from policy_server.serving.admission import BACKLOG, MAX_CONNECTIONS, Connection, Places, connection_limit
from policy_server.serving.app import create_app
from policy_server.serving.service import ServiceOptions
from robots.processes.drain import drained
from robots.processes.signals import endings, on_end
from robots.processes.text import printable

DEFAULTS = ServiceOptions()
GRACE_S = 5  # time for running requests to finish at SIGTERM [s]
KEEP_ALIVE_S = (
    75  # longer than httpx keeps an idle connection (5 s), so that no request meets a connection being closed
)


@dataclass(frozen=True)
class Serve:
    """Serves a policy bundle over REST; the API documentation is at /docs."""

    bundle: tyro.conf.Positional[Path]
    """Folder or zip written by `ferry export`."""
    host: str = "127.0.0.1"
    """Address to listen on. Use a token file for any address other than localhost."""
    port: int = 8042
    """Port to listen on; 0 picks a free one."""
    token_file: Path | None = None
    """File with the bearer token that clients must send."""
    threads: int = 0
    """Threads for one inference; 0 for one per core."""
    workers: int = DEFAULTS.workers
    """Number of decisions computed in parallel."""
    max_sessions: int = DEFAULTS.max_sessions
    """Maximum number of open sessions."""
    session_timeout_s: float = DEFAULTS.session_timeout_s
    """Idle time after which a session expires [s]."""
    max_body_bytes: int = DEFAULTS.max_body_bytes
    """Maximum size of a request body [bytes]."""
    max_image_pixels: int = DEFAULTS.max_image_pixels
    """Maximum size of a camera image [pixels]."""
    max_connections: int = MAX_CONNECTIONS
    """Maximum number of open connections; beyond it the least used one is closed, from the address with the most."""

    def options(self) -> ServiceOptions:
        """Returns the limits for the application; ValueError or OSError names the wrong one."""
        positive = ("workers", "max_sessions", "session_timeout_s", "max_body_bytes", "max_image_pixels")
        for name in (*positive, "max_connections"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name.replace('_', '-')}: got {getattr(self, name)}, expected more than 0")
        token = self.token_file.read_text(encoding="utf-8").strip() if self.token_file else ""
        if not token.isprintable():
            raise ValueError(f"--token-file: got control characters in {self.token_file}, expected one line of text")
        if self.token_file and not token:
            raise ValueError(f"--token-file: got an empty file {self.token_file}, expected a token")
        return ServiceOptions(token=token, **{name: getattr(self, name) for name in positive})


class DrainingServer(uvicorn.Server):
    """Reports "draining" as soon as the signal arrives, before the last requests are answered."""

    def __init__(self, app: FastAPI, max_connections: int = MAX_CONNECTIONS) -> None:
        self._places = Places(connection_limit(max_connections))
        protocol: Any = partial(Connection, places=self._places)
        # No websockets, no access log: one line per decision would be noise.
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            backlog=BACKLOG,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        super().__init__(config)
        self._readiness = app.state.api.ready

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the server."""
        if counter % 10 == 0:
            self._places.close_slow()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGINT, SIGTERM and SIGHUP."""
        self._readiness.status = "draining"
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening TCP socket; OSError names the address if it is not available.

    The protocol is explicit because asyncio only disables Nagle's algorithm on sockets created with IPPROTO_TCP; with
    Nagle's algorithm, every decision waits 40 ms for a delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(f"{host}:{port}: {error.strerror}") from error
    return listener


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry serve`; exit status 2 and one line if it cannot start."""
    args = tyro.cli(Serve, args=argv, prog="ferry serve")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        options = args.options()
        bundle = PolicyBundle.load(args.bundle, threads=args.threads)
        listener = listen(args.host, args.port)
    except (PolicyError, OSError, ValueError) as error:
        print(f"ferry serve: {error}", file=sys.stderr)
        return 2
    _run(bundle, options, listener, args.max_connections)
    return 0


def _run(bundle: PolicyBundle, options: ServiceOptions, listener: socket.socket, connections: int) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def announce() -> None:
        print(
            f"ferry serve: {printable(bundle.manifest.name)} (sha256 {bundle.sha256[:12]}) ready at {url}", flush=True
        )

    if not options.token and host not in ("127.0.0.1", "::1"):
        print(f"ferry serve: anyone who can reach {url} can use it; --token-file requires a token", file=sys.stderr)
    # uvicorn raises the signal again after its shutdown; the process must then exit normally.
    on_end(lambda *_: sys.exit(0))
    server = DrainingServer(create_app(bundle, options, announce), connections)
    if signal.SIGHUP in endings():  # not handled by uvicorn
        signal.signal(signal.SIGHUP, server.handle_exit)
    with listener, drained():  # a log that nobody reads does not block replies
        server.run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
