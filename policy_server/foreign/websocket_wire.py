"""openpi's and RoboArena's servers over a websocket: msgpack out, msgpack back; text is an error.

One connection is one episode. There is no number that ties an answer to its request, so after a timeout the connection
is closed: an answer that comes late has nowhere to arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI

from policy_server.dialects import msgpack_codec
from policy_server.dialects.contract import Contract
from policy_server.errors import ContractError, PolicyError, Refused, Unreachable, WireError
from policy_server.foreign.event_loop import EventLoop
from policy_server.wire.connection import Connection

MAX_REPLY_BYTES = 16 * 2**20
RESET_REPLY = "reset successful"
PRIVATE = 160  # characters of a server's traceback that are passed on: its last line


@dataclass
class WebsocketServer:
    """A server at `host`:`port`, e.g. "127.0.0.1:8000"; RoboArena's keys where the contract's dialect says so."""

    address: str
    contract: Contract
    token: str | None = None
    secure: bool = False
    _loop: EventLoop = field(init=False)
    _http: Connection = field(init=False)
    _connections: WeakSet[WebsocketConnection] = field(default_factory=WeakSet, init=False)

    def __post_init__(self) -> None:
        self._loop = EventLoop("foreign policy")
        self._http = Connection(f"{'https' if self.secure else 'http'}://{self.address}")

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.contract.dialect} server {self.address}"

    def open(self, timeout_s: float) -> WebsocketConnection:
        """Connects, reads the metadata that the server sends first, and holds it against the contract."""
        socket = self._loop.call(self._connect(timeout_s), timeout_s, self.name)
        connection = WebsocketConnection(socket, self._loop, self.name, self.contract.dialect == "roboarena")
        self._connections.add(connection)
        try:
            metadata = connection.receive(timeout_s)
            if self.contract.dialect == "roboarena":
                check_roboarena(metadata, self.contract)
                connection.reset(timeout_s)
        except PolicyError:
            connection.close()
            raise
        return connection

    def ping(self, timeout_s: float) -> None:
        """Asks for /healthz; a server that has no such page still says that it lives."""
        try:
            self._http.send("GET", "/healthz", timeout_s=timeout_s)
        except Refused as error:
            if error.status >= 500:
                raise Unreachable(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Closes all connections and the loop."""
        for connection in list(self._connections):
            connection.close()
        self._http.close()
        self._loop.close()

    async def _connect(self, timeout_s: float) -> ClientConnection:
        headers = {"Authorization": f"Api-Key {self.token}"} if self.token else None
        uri = f"{'wss' if self.secure else 'ws'}://{self.address}"
        try:
            return await connect(
                uri,
                additional_headers=headers,
                compression=None,
                max_size=MAX_REPLY_BYTES,
                open_timeout=timeout_s,
                ping_interval=None,  # a server that computes in its event loop answers none; the watchdog asks /healthz
                proxy=None,  # none between a robot and its policy
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise Refused(f"{self.name}: HTTP {status}", code=f"http_{status}", status=status) from error
        except (OSError, InvalidHandshake, InvalidMessage, InvalidURI) as error:
            raise Unreachable(f"{self.name}: no connection: {error} ({type(error).__name__})") from error


class WebsocketConnection:
    """One websocket; any error closes it."""

    def __init__(self, socket: ClientConnection, loop: EventLoop, name: str, is_roboarena: bool) -> None:
        self._socket, self._loop, self._name, self._is_roboarena = socket, loop, name, is_roboarena
        self._session_id = uuid4().hex

    def ask(self, fields: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Returns the action map."""
        extra = {"endpoint": "infer", "session_id": self._session_id} if self._is_roboarena else {}
        return self.ask_raw(msgpack_codec.pack({**fields, **extra}), timeout_s)

    def ask_raw(self, data: bytes, timeout_s: float) -> Mapping[str, Any]:
        """Sends one binary frame, and returns the map that answers it."""
        try:
            return _answer(self._loop.call(self._exchange(data), timeout_s, self._name), self._name)
        except PolicyError:
            self.close()
            raise

    def receive(self, timeout_s: float) -> Mapping[str, Any]:
        """Returns the message that the server sends first."""
        return _answer(self._loop.call(self._receive(), timeout_s, self._name), self._name)

    def reset(self, timeout_s: float) -> None:
        """Tells RoboArena's server that an episode begins."""
        data = msgpack_codec.pack({"endpoint": "reset", "session_id": self._session_id})
        reply = self._loop.call(self._exchange(data), timeout_s, self._name)
        if reply != RESET_REPLY:
            _answer(reply, self._name)
            raise WireError(f"{self._name}: reset: got a map, expected the text '{RESET_REPLY}'")

    def close(self) -> None:
        """Drops the connection without waiting for the peer."""
        self._loop.later(self._abort())

    async def _exchange(self, data: bytes) -> bytes | str:
        try:
            await self._socket.send(data)
            return await self._socket.recv()
        except (ConnectionClosed, OSError) as error:
            raise Unreachable(f"{self._name}: connection lost: {error}") from error

    async def _receive(self) -> bytes | str:
        try:
            return await self._socket.recv()
        except (ConnectionClosed, OSError) as error:
            raise Unreachable(f"{self._name}: connection lost: {error}") from error

    async def _abort(self) -> None:
        self._socket.transport.abort()


def check_roboarena(config: Mapping[str, Any], contract: Contract) -> None:
    """Raises ContractError where RoboArena's server wants other images than the contract sends."""
    size = config.get("image_resolution")
    if size is not None:
        for camera in contract.cameras:
            if list(size) != [camera.height, camera.width]:
                got = f"{camera.height}x{camera.width}"
                raise ContractError(f"camera '{camera.key}': got {got}, expected {size} as the server says")
    keys = [camera.key for camera in contract.cameras]
    wrist = "observation/wrist_image_left"
    if config.get("needs_wrist_camera") and wrist not in keys:
        raise ContractError(f"cameras: got {', '.join(keys) or 'none'}, expected '{wrist}' as the server says")
    wanted = config.get("n_external_cameras", 0)
    outside = sum("exterior_image" in key and key.endswith("_left") for key in keys)
    if isinstance(wanted, int) and outside < wanted:
        raise ContractError(f"cameras: got {outside} exterior ones, expected {wanted} as the server says")


def _answer(reply: bytes | str, name: str) -> Mapping[str, Any]:
    if isinstance(reply, str):
        lines = [line for line in reply.splitlines() if line.strip()] or ["an empty text"]
        raise Refused(f"{name}: {lines[-1].strip()[:PRIVATE]}", code="server_error", status=500)
    fields = msgpack_codec.unpack(reply)
    if fields.get("type") == "error":  # vLLM-Omni's form
        raise Refused(f"{name}: {fields.get('message')!s:.160}", code="server_error", status=500)
    return fields
