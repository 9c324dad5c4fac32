"""GR00T's ZeroMQ protocol: {endpoint, data, api_token} in, [action, info] out, {"error": text} for every error.

The original's socket is a REP, which answers one request at a time; this one is a ROUTER, which answers a ping while
another client's inference runs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import zmq
import zmq.asyncio

from policy_server.dialect_servers.dialect import Dialect, line
from policy_server.dialect_servers.episodes import Episode
from policy_server.dialects import npy_codec
from policy_server.dialects.arrays import wrong
from policy_server.dialects.contract import Contract
from policy_server.errors import SessionError, WireError
from policy_server.serving.app import Api

MAX_CLIENTS = 256
HANDSHAKE_MS = 5000
HEARTBEAT_MS = 10_000
PING_REPLY = {"status": "ok", "message": "Server is running"}


@dataclass
class Client:
    """One peer, by the identity that its socket has here."""

    episode: Episode
    busy: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Gr00tDialect(Dialect):
    """The ZeroMQ server beside an application; `run` serves until it is cancelled."""

    def __init__(self, api: Api, contract: Contract) -> None:
        super().__init__(api, contract)
        self._clients: OrderedDict[bytes, Client] = OrderedDict()
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None

    def bind(self, address: str) -> str:
        """Listens at `address`, e.g. "tcp://127.0.0.1:0", and returns where; OSError if it is not available."""
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, self.api.service.options.max_body_bytes)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise OSError(f"{address}: {error}") from error
        self._socket = socket
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)

    async def run(self) -> None:
        """Serves until it is cancelled; `bind` comes before."""
        assert self._socket is not None  # bound
        socket = zmq.asyncio.Socket.from_socket(self._socket)
        try:
            while True:
                await self._receive(socket)
        finally:
            tasks = [task for client in self._clients.values() for task in client.tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            socket.close()
            self._context.destroy(linger=0)

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        identity, *frames = await socket.recv_multipart()
        client = self._client(identity)
        if client is None or client.busy or len(frames) != 2 or frames[0]:
            why = SessionError("clients: all places are in use", code="overloaded", status=503)
            if client is not None:
                why = SessionError("client: another request is still running", code="busy", status=409)
            if not client or client.busy:
                await self._send(socket, identity, {"error": line(self.error(why))})
            else:
                bad = WireError(f"message: got {len(frames)} frames, expected an empty one and a request")
                await self._send(socket, identity, {"error": line(self.error(bad))})
            return
        client.busy = True
        task = asyncio.create_task(self._serve(socket, identity, client, frames[1]))
        client.tasks.add(task)
        task.add_done_callback(client.tasks.discard)

    async def _serve(self, socket: zmq.asyncio.Socket, identity: bytes, client: Client, data: bytes) -> None:
        try:
            reply = await self._answer(client, data)
        except Exception as error:
            reply = npy_codec.pack({"error": line(self.error(error))})
        finally:
            client.busy = False
        with suppress(zmq.ZMQError):
            await socket.send_multipart([identity, b"", reply])

    async def _send(self, socket: zmq.asyncio.Socket, identity: bytes, reply: Mapping[str, Any]) -> None:
        with suppress(zmq.ZMQError):
            await socket.send_multipart([identity, b"", npy_codec.pack(reply)])

    async def _answer(self, client: Client, data: bytes) -> bytes:
        if len(data) < SMALL_BYTES:
            fields = npy_codec.unpack(data)
        else:
            fields = await self.api.submit(client.episode.account, partial(npy_codec.unpack, data))
        token = fields.get("api_token", "")
        caller = self.client(token if isinstance(token, str) else "")
        if caller is None:
            return npy_codec.pack({"error": "Unauthorized: Invalid API token"})
        client.episode.belong_to(caller)
        endpoint = fields.get("endpoint", "get_action")
        if endpoint == "ping":
            return npy_codec.pack(PING_REPLY)
        if endpoint == "get_modality_config":
            return npy_codec.pack(self._modalities())
        if endpoint == "reset":
            client.episode.reset()
            return npy_codec.pack({})
        if endpoint != "get_action":
            expected = "one of get_action, get_modality_config, ping, reset"
            raise wrong("'endpoint'", f"{endpoint!r:.40}", f"{expected} (kill is for the terminal of the server)")
        await self.ready()
        read = partial(_observation, fields)
        while True:
            try:
                return await self.decide(client.episode, read, self._write)
            except SessionError as error:
                if error.code != "too_many_sessions" or not self._make_room():
                    raise

    def _write(self, rows: Any, timing_s: Mapping[str, float]) -> bytes:
        info = {"inference_s": timing_s["inference"]}
        return npy_codec.pack([self.episodes.translation.rows_to_fields(rows), info])

    def _modalities(self) -> dict[str, Any]:
        contract = self.contract
        prompt = [contract.prompt.partition(".")[2]] if contract.prompt else []
        rows = list(range(contract.actions.rows))
        keys = {
            "video": ([camera.key.partition(".")[2] for camera in contract.cameras], [0]),
            "state": ([vector.key.partition(".")[2] for vector in contract.state], [0]),
            "action": ([part.key for part in contract.actions.parts], rows),
            "language": (prompt, [0]),
        }
        return {
            name: {"__ModalityConfig_class__": True, "as_json": {"delta_indices": times, "modality_keys": names}}
            for name, (names, times) in keys.items()
            if names  # the original's class takes no empty list
        }

    def _make_room(self) -> bool:
        """Ends the session of the client that was idle the longest, as ZeroMQ reports no leaving; False if none.

        A policy without memory loses nothing; that of one with memory ends by itself, after its idle time.
        """
        if not self.episodes.has_memory:
            for client in self._clients.values():
                if not client.busy and client.episode.has_session:
                    client.episode.pause()
                    return True
        return False

    def _client(self, identity: bytes) -> Client | None:
        """Returns the peer's client; a new one takes the place of the one that was idle the longest."""
        if identity in self._clients:
            self._clients.move_to_end(identity)
            return self._clients[identity]
        if len(self._clients) >= MAX_CLIENTS:
            idle = next((each for each, client in self._clients.items() if not client.busy), None)
            if idle is None:
                return None
            self._clients.pop(idle).episode.reset()
        self._clients[identity] = Client(self.episodes.new())
        return self._clients[identity]


SMALL_BYTES = 4096
"""Messages up to this size are read in the event loop: a ping must not wait for a worker."""


def _observation(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    data = fields.get("data")
    observation = data.get("observation") if isinstance(data, Mapping) else None
    if not isinstance(observation, Mapping):
        raise wrong("'data'", type(data).__name__, "a map with the map 'observation'", code="missing_field")
    return observation
