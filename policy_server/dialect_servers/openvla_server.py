"""OpenVLA's /act, and OpenVLA-OFT's: JSON with arrays in and out, and the text "error" for every error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import Request, Response

from policy_server.dialect_servers.dialect import Dialect, line
from policy_server.dialects import json_codec
from policy_server.dialects.contract import Contract
from policy_server.errors import ContractError
from policy_server.serving.api_clients import ApiClient
from policy_server.serving.app import Api
from policy_server.serving.payload import Payload
from policy_server.wire.messages import JSON

ERROR_HEADER = "X-Ferry-Error"
"""Header with the reason: the body has no place for it."""


class OpenVlaDialect(Dialect):
    """The handler of one application. Every request is an episode of its own, for the protocol has none."""

    def __init__(self, api: Api, contract: Contract) -> None:
        super().__init__(api, contract)
        if self.episodes.has_memory:
            got = f"policy '{self.episodes.manifest.name}' with a memory from decision to decision"
            raise ContractError(f"openvla: got {got}, expected one without: its requests name no episode")
        self._payload = Payload(api.service.options.max_body_bytes)

    async def act(self, request: Request) -> Response:
        """Answers one observation: a vector for a chunk of one row, a list of vectors otherwise."""
        try:
            self.api.ready.check()
            data = await self._payload.body(request, JSON)
            return Response(await self._answer(data, request.state.client), media_type=JSON)
        except Exception as error:
            return self._refusal(error)

    async def _answer(self, data: bytes, client: ApiClient) -> bytes:
        encoded = False

        def read() -> Mapping[str, Any]:
            nonlocal encoded
            fields, encoded = json_codec.request_from(data)
            return fields

        def write(rows: Any, _: Mapping[str, float]) -> bytes:
            part = self.contract.actions.parts[0]
            answer = part.to_wire(rows).astype(np.float64)  # the original's statistics make float64 of everything
            return json_codec.reply_to(answer[0] if len(answer) == 1 else list(answer), encoded=encoded)

        episode = self.episodes.new(client=client)
        try:
            return await self.decide(episode, read, write)
        finally:
            episode.reset()

    def _refusal(self, error: Exception) -> Response:
        reason = line(self.error(error)).encode("ascii", "backslashreplace").decode()
        return Response(b'"error"', media_type=JSON, headers={ERROR_HEADER: "".join(filter(str.isprintable, reason))})
