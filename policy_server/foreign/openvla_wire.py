"""OpenVLA's /act over HTTP, and that of OpenVLA-OFT: JSON with arrays; the text "error" for every error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from policy_server.dialects import json_codec
from policy_server.dialects.contract import Contract
from policy_server.errors import Refused, WireError
from policy_server.wire.connection import Connection


@dataclass
class OpenVlaServer:
    """A server at `url`; it keeps no episode, so that it is its own connection."""

    url: str
    contract: Contract
    token: str | None = None
    _http: Connection = field(init=False)
    _pings: Connection = field(init=False)

    def __post_init__(self) -> None:
        self._http, self._pings = Connection(self.url, token=self.token), Connection(self.url)

    def open(self, timeout_s: float) -> OpenVlaServer:
        """Checks that the server answers."""
        self.ping(timeout_s)
        return OpenVlaServer(self.url, self.contract, self.token)

    def ask(self, fields: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Returns the vector, or the rows, of the answer under the contract's key."""
        return self.ask_raw(json_codec.dumps(dict(fields)), timeout_s)

    def ask_raw(self, data: bytes, timeout_s: float) -> Mapping[str, Any]:
        """Posts a body, and returns what answers it as `ask` does."""
        data = self._http.send("POST", "/act", data, timeout_s=timeout_s)
        answer = json_codec.loads(data)
        if isinstance(answer, str):
            raise Refused(f"openvla server {self.url}: {answer[:80]!r}; its log has the reason", code="server_error")
        if isinstance(answer, Mapping):
            raise WireError(f"openvla server {self.url}: got an object, expected an array or a list of arrays")
        return {self.contract.actions.parts[0].key: _rows(answer)}

    def ping(self, timeout_s: float) -> None:
        """Asks for any page: that of another status than 200 also says that the server lives."""
        try:
            self._pings.send("GET", "/healthz", timeout_s=timeout_s)
        except Refused:
            return

    def close(self) -> None:
        """Closes the TCP connections."""
        self._http.close()
        self._pings.close()


def _rows(answer: Any) -> Any:
    if isinstance(answer, list) and answer and all(isinstance(row, np.ndarray) for row in answer):
        shapes = {row.shape for row in answer}
        if len(shapes) != 1:
            raise WireError(f"openvla answer: got rows of shapes {sorted(shapes)}, expected one shape")
        return np.stack(answer)
    return answer
