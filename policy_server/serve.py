"""`ferry serve BUNDLE`: serves one policy over REST until it is told to stop."""

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

from policy_server.admission import BACKLOG, MAX_CONNECTIONS, Connection, Places, connection_limit
from policy_server.app import create_app
from policy_server.bundle import PolicyBundle
from policy_server.errors import PolicyError
from policy_server.service import ServiceOptions
from robots.processes.drain import drained
from robots.processes.signals import endings, on_end
from robots.processes.text import printable

DEFAULTS = ServiceOptions()
GRACE_S = 5  # requests under way at SIGTERM get this long [s]
KEEP_ALIVE_S = (
    75  # longer than httpx keeps an idle connection (5 s), so that no request meets a connection being closed
)


@dataclass(frozen=True)
class Serve:
    """Serves a policy bundle over REST; the API's description is at /docs."""

    bundle: tyro.conf.Positional[Path]
    """A folder or zip that `ferry export` wrote."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but this machine's own needs a token file to be safe."""
    port: int = 8765
    """Port to listen on; 0 picks a free one."""
    token_file: Path | None = None
    """File with the bearer token that clients must send."""
    threads: int = 0
    """Threads for one inference; 0 for one per core."""
    workers: int = DEFAULTS.workers
    """Decisions computed at the same time."""
    max_sessions: int = DEFAULTS.max_sessions
    """Open sessions at the same time."""
    session_timeout_s: float = DEFAULTS.session_timeout_s
    """A session is forgotten when it is idle for longer [s]."""
    max_body_bytes: int = DEFAULTS.max_body_bytes
    """Longest request body."""
    max_image_pixels: int = DEFAULTS.max_image_pixels
    """Largest camera image."""
    max_connections: int = MAX_CONNECTIONS
    """Open connections; beyond them the least used goes, from the address that has most."""

    def options(self) -> ServiceOptions:
        """The limits for the application; ValueError or OSError says which one is wrong."""
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
    """Stops being ready at the signal, before the last requests are answered."""

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
    """A listening TCP socket; OSError names the address it cannot have.

    Its protocol is named because asyncio turns Nagle's algorithm off only on sockets that say they are TCP, and with
    Nagle's algorithm every decision waits 40 ms for a delayed acknowledgement.
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
    """Runs `ferry serve`; exit code 2 and one line when it cannot start."""
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
        print(f"ferry serve: anyone who reaches {url} can use it; --token-file asks for a token", file=sys.stderr)
    # uvicorn raises the signal again once it has shut down; that must end the process in order.
    on_end(lambda *_: sys.exit(0))
    server = DrainingServer(create_app(bundle, options, announce), connections)
    if signal.SIGHUP in endings():  # which uvicorn leaves to us
        signal.signal(signal.SIGHUP, server.handle_exit)
    with listener, drained():  # a log that nobody reads holds no answer up
        server.run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
