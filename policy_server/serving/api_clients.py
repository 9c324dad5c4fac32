"""Who may use the server: clients by their bearer tokens, named in the metrics, some served before others."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

NAME = re.compile("[A-Za-z0-9._-]{1,32}")
PRIORITIES = range(-9, 10)
FORM = "NAME TOKEN, or NAME TOKEN PRIORITY"


@dataclass(frozen=True)
class ApiClient:
    """A client of the server.

    Attributes:
        name: in the metrics; empty where all clients share one token, or need none.
        token: bearer token.
        priority: decisions of a client with a larger one are computed first.
    """

    name: str = ""
    token: str = field(default="", repr=False)
    priority: int = 0


ANYONE = ApiClient()


def read_clients(path: Path) -> tuple[ApiClient, ...]:
    """Reads a token file: one line is a token that all clients share; of several, each names a client.

    Blank lines and those that begin with `#` are left out. ValueError names a line that is wrong, OSError.
    """
    text = path.read_text(encoding="utf-8")
    lines = {number: line.strip() for number, line in enumerate(text.splitlines(), start=1)}
    lines = {number: line for number, line in lines.items() if line and not line.startswith("#")}
    if not lines:
        raise ValueError(f"--token-file: got an empty file {path}, expected a token")
    for number, line in lines.items():
        if not line.isprintable():
            raise ValueError(f"--token-file: got control characters in line {number} of {path}, expected text")
    if len(lines) == 1:
        return (ApiClient(token=next(iter(lines.values()))),)
    clients = tuple(_client(line, f"--token-file: line {number} of {path}") for number, line in lines.items())
    for what in ("name", "token"):
        values = [getattr(client, what) for client in clients]
        if len(set(values)) < len(values):
            raise ValueError(f"--token-file: got one {what} twice in {path}, expected another for each client")
    return clients


def client_of(token: str, clients: Sequence[ApiClient]) -> ApiClient | None:
    """Returns the client with this token, None if there is none; anyone where no token is required."""
    given = token.encode(errors="replace")  # a lone surrogate is nobody's token
    found = [client for client in clients if hmac.compare_digest(given, client.token.encode())]  # all, in constant time
    return next(iter(found), None) if clients else ANYONE


def _client(line: str, where: str) -> ApiClient:
    name, *rest = line.split()
    if len(rest) not in (1, 2) or not NAME.fullmatch(name):
        raise ValueError(f"{where}: got {len(rest) + 1} words, expected {FORM}; a name is of letters, digits, . _ -")
    priority = rest[1] if len(rest) == 2 else "0"
    if not re.fullmatch("-?[0-9]", priority):
        raise ValueError(f"{where}: got the priority {priority[:20]!r}, expected {PRIORITIES[0]} to {PRIORITIES[-1]}")
    return ApiClient(name, rest[0], int(priority))
