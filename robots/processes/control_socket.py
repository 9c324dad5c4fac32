"""Control socket of a running fake Stretch, for a person, a test or the synthetic camera."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

NAME = "control.sock"


def listen(fleet: Path) -> socket.socket:
    """The fake's end, in its fleet folder."""
    path = fleet / NAME
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    server.setblocking(False)
    return server


def tell(fleet: str | Path, line: str, timeout_s: float = 1.0) -> dict[str, Any]:
    """Sends one line (e.g. "runstop on", "state") to the fake in `fleet` and returns its state.

    Raises:
        ConnectionError: no fake runs there, or it does not answer.
        ValueError: it does not know the line.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        client.bind("")  # Linux picks a free abstract name
        client.settimeout(timeout_s)
        client.sendto(line.encode(), str(Path(fleet) / NAME))
        answer: dict[str, Any] = json.loads(client.recv(65536))
    except OSError as error:
        raise ConnectionError(f"no fake Stretch answers in {fleet}: {error}") from error
    finally:
        client.close()
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer
