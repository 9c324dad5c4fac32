"""The watchdog of the policy server reports once that it is lost, for whatever reason."""

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


def lost(answer: Answer, within_s: float) -> list[str]:
    """Reasons that a watchdog of a server that answers so reports; waits up to `within_s` for the first."""
    reasons: list[str] = []
    client = PolicyClient("http://robot", transport=httpx.MockTransport(answer))
    with client, ServerWatchdog(client, 0.2, reasons.append):
        end_s = time.monotonic() + within_s
        while not reasons and time.monotonic() < end_s:
            time.sleep(0.02)
        time.sleep(0.3)
    return reasons


def test_a_server_that_answers_is_not_lost() -> None:
    assert lost(lambda _: httpx.Response(200, json={}), 0.4) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fails(httpx.ConnectError("refused")), "Unreachable: policy server"),
        (lambda _: httpx.Response(503, json={}), "Refused: HTTP 503"),
        (fails(RuntimeError("a library gave up")), "RuntimeError: a library gave up"),
    ],
)
def test_a_server_that_does_not_is_lost_once(answer: Answer, reason: str) -> None:
    assert [text[: len(reason)] for text in lost(answer, 10.0)] == [reason]
