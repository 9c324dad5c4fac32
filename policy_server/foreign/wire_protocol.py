"""What a foreign wire offers: a server that can be pinged, and connections on which one request is asked at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class ForeignConnection(Protocol):
    """One episode's connection, closed after any error: no later answer may be taken for another request's."""

    def ask(self, fields: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Returns the answer's fields; Unreachable without a whole one in time, Refused, or WireError."""

    def ask_raw(self, data: bytes, timeout_s: float) -> Any:
        """Sends bytes that may be no request, and returns what was answered; raises as `ask`. For conformance tests."""

    def close(self) -> None:
        """Closes it at once."""


class ForeignServer(Protocol):
    """A server of one dialect."""

    def open(self, timeout_s: float) -> ForeignConnection:
        """Connects, and tells the server that an episode begins where its dialect has a word for it."""

    def ping(self, timeout_s: float) -> None:
        """Raises Unreachable unless the server answers in time."""

    def close(self) -> None:
        """Releases what is shared by the connections."""
