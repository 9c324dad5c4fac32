"""Whoever watches the policy server says once, in time and for whatever reason, that it is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from ferry_ros.server_watchdog import ServerWatchdog

from policy_server.client import PolicyClient

Answer = Callable[[httpx.Request], httpx.Response]


def fails(error: Exception) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


def watched(answer: Answer, lasts_s: float) -> list[str]:
    """What a watch of a server that answers so tells within `lasts_s`."""
    told: list[str] = []
    client = PolicyClient("http://robot", transport=httpx.MockTransport(answer))
    with client, ServerWatchdog(client, 0.2, told.append):
        time.sleep(lasts_s)
    return told


def test_a_server_that_answers_is_not_lost() -> None:
    assert watched(lambda _: httpx.Response(200, json={}), 0.6) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fails(httpx.ConnectError("refused")), "Unreachable: policy server"),
        (lambda _: httpx.Response(503, json={}), "Refused: HTTP 503"),
        (fails(RuntimeError("a library gave up")), "RuntimeError: a library gave up"),
    ],
)
def test_a_server_that_does_not_is_lost_once(answer: Answer, reason: str) -> None:
    told = watched(answer, 1.0)
    assert [text[: len(reason)] for text in told] == [reason]
