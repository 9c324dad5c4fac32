"""GR00T's policy server over ZeroMQ (REQ to its REP), msgpack with .npy arrays; {"error": text} for every error."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from policy_server.dialects import npy_codec
from policy_server.dialects.contract import Contract
from policy_server.errors import ContractError, PolicyError, Refused, Unreachable, WireError

MAX_REPLY_BYTES = 16 * 2**20


@dataclass
class Gr00tServer:
    """A server at `address`, e.g. "127.0.0.1:5555"."""

    address: str
    contract: Contract
    token: str | None = None
    _context: zmq.Context[zmq.Socket[bytes]] = field(init=False)

    def __post_init__(self) -> None:
        self._context = zmq.Context()

    def open(self, timeout_s: float) -> Gr00tConnection:
        """Connects, holds the server's modalities against the contract, and resets it."""
        deadline = time.monotonic() + timeout_s
        connection = self._connection()
        try:
            connection.wait_connected(timeout_s)
            check_modalities(connection.call("get_modality_config", None, deadline), self.contract)
            connection.call("reset", {"options": None}, deadline)
        except PolicyError:
            connection.close()
            raise
        return connection

    def ping(self, timeout_s: float) -> None:
        """Pings on a connection of its own."""
        connection = self._connection()
        try:
            connection.call("ping", None, time.monotonic() + timeout_s)
        finally:
            connection.close()

    def close(self) -> None:
        """Ends the context once its sockets are closed; nothing unsent is waited for."""
        self._context.destroy(linger=0)

    def _connection(self) -> Gr00tConnection:
        return Gr00tConnection(self._context, self.address, self.token)


class Gr00tConnection:
    """One REQ socket and what happens to its TCP connection; any error closes both."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, token: str | None) -> None:
        self._name, self._token = f"gr00t server {address}", token
        self._socket = context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPLY_BYTES)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a server that is not there
        self._events = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self._socket.connect(f"tcp://{address}")
        self._is_open = True

    def ask(self, fields: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Returns the map of actions."""
        data = {"observation": dict(fields), "options": None}
        try:
            reply = self.call("get_action", data, time.monotonic() + timeout_s)
            if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[0], Mapping):
                raise WireError(f"{self._name}: got {type(reply).__name__}, expected [action, info]")
            return reply[0]
        except PolicyError:
            self.close()
            raise

    def call(self, endpoint: str, data: Mapping[str, Any] | None, deadline: float) -> Any:
        """Returns the reply of an endpoint; Unreachable after `deadline` (monotonic), Refused for {"error": text}."""
        request = {"endpoint": endpoint, **({} if data is None else {"data": data})}
        if self._token:
            request["api_token"] = self._token
        return self._exchange(npy_codec.pack(request), deadline)

    def ask_raw(self, data: bytes, timeout_s: float) -> Any:
        """Sends one frame, and returns what answers it."""
        try:
            return self._exchange(data, time.monotonic() + timeout_s)
        except PolicyError:
            self.close()
            raise

    def _exchange(self, data: bytes, deadline: float) -> Any:
        self._wait(zmq.POLLOUT, deadline)
        self._socket.send(data)
        self._wait(zmq.POLLIN, deadline)
        reply = npy_codec.unpack_reply(self._socket.recv())
        if isinstance(reply, Mapping) and "error" in reply:
            raise Refused(f"{self._name}: {reply['error']!s:.160}", code="server_error", status=500)
        return reply

    def wait_connected(self, timeout_s: float) -> None:
        """Raises Unreachable unless the TCP connection is there in time."""
        self._wait(zmq.POLLOUT, time.monotonic() + timeout_s)

    def close(self) -> None:
        """Closes the socket; what was not sent is dropped."""
        if self._is_open:
            self._is_open = False
            self._socket.disable_monitor()
            self._events.close(0)
            self._socket.close(0)

    def _wait(self, what: int, deadline: float) -> None:
        if not self._is_open:
            raise Unreachable(f"{self._name}: the connection was closed after an error; open a new session")
        poller = zmq.Poller()
        poller.register(self._socket, what)
        poller.register(self._events, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(max(0, math.ceil((deadline - time.monotonic()) * 1000))))
            if self._socket in ready:
                return
            if not ready:
                raise Unreachable(f"{self._name}: no answer in time")
            if recv_monitor_message(self._events)["event"] == zmq.EVENT_DISCONNECTED:
                raise Unreachable(f"{self._name}: connection lost")


def check_modalities(reply: object, contract: Contract) -> None:
    """Raises ContractError where the server's modalities lack a key of the contract, or want a history of frames."""
    if not isinstance(reply, Mapping):
        return
    keys = {"video": [camera.key for camera in contract.cameras], "state": [one.key for one in contract.state]}
    keys["action"] = [f"action.{part.key}" for part in contract.actions.parts]
    for modality, wanted in keys.items():
        config = reply.get(modality)
        if not isinstance(config, Mapping) or not isinstance(config.get("modality_keys"), list):
            continue
        available = [str(key) for key in config["modality_keys"]]
        for key in wanted:
            if key.partition(".")[2] not in available:
                names = ", ".join(available)
                raise ContractError(f"contract '{contract.name}': got key '{key}', expected one of {modality}: {names}")
        frames = config.get("delta_indices")
        if modality != "action" and isinstance(frames, list) and len(frames) != 1:
            expected = "1: Ferry sends one at a time"
            raise ContractError(f"contract '{contract.name}': got {len(frames)} {modality} frames, expected {expected}")
