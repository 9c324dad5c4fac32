"""Requests to the policy server over HTTP, and what its refusals look like."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
from bundles import HEIGHT, WIDTH, tiny_body, tiny_observation

from policy_server.serving.service import ServiceOptions
from policy_server.wire.messages import MSGPACK, ActRequest, pack

OPTIONS = ServiceOptions(max_sessions=500, max_body_bytes=200_000, max_instruction_chars=40)
GREY = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
BUSY = "ferry_decisions_in_progress 1.0"
Fields = dict[str, Any]


def opening(**changes: Any) -> Fields:
    return {"embodiment": tiny_body().to_json(), "instruction": "find a mug", **changes}


def open_path(http: httpx.Client, **changes: Any) -> str:
    reply = http.post("/v1/sessions", json=opening(**changes))
    assert reply.status_code == 201, reply.text
    return f"/v1/sessions/{reply.json()['session_id']}"


def act_fields(**changes: Any) -> Fields:
    observation = tiny_observation(stamp_ns=7)
    fields = ActRequest(observation.stamp_ns, dict(observation.images), dict(observation.state)).to_fields()
    return {**fields, **changes}


def act(http: httpx.Client, path: str, **changes: Any) -> httpx.Response:
    return http.post(f"{path}/act", content=pack(act_fields(**changes)), headers={"Content-Type": MSGPACK})


def post_form(http: httpx.Client, path: str, observation: Fields, images: dict[str, bytes]) -> httpx.Response:
    return http.post(f"{path}/act", data={"observation": json.dumps(observation)}, files=images)


def refusal(reply: httpx.Response, status: int, code: str) -> Fields:
    """The error of `reply`, which must be typed JSON with this status and code."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.json().keys() == {"error"}
    error: Fields = reply.json()["error"]
    assert error.keys() == {"code", "message", "details"}
    assert error["code"] == code
    assert "Traceback" not in reply.text
    return error
