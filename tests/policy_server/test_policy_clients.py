"""Clients with tokens of their own: their names in the metrics, and who is served first."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest
from bundles import tiny_body, tiny_observation, write_tiny_bundle
from policy_http import act, open_path, refusal
from servers import serving

from policy_server.client import PolicyClient
from policy_server.serve import Serve
from policy_server.serving.api_clients import ApiClient, client_of, read_clients
from policy_server.serving.fair_pool import Account, FairPool
from policy_server.serving.service import ServiceOptions

TWO = "# robots of the lab\n\narm schl\u00fcssel 2\nbase  9sTfB4hy\n"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.txt"
    path.write_text(TWO, encoding="utf-8")
    return path


def test_a_line_is_a_client_and_one_line_alone_is_a_token_for_all(tokens: Path, tmp_path: Path) -> None:
    assert read_clients(tokens) == (ApiClient("arm", "schl\u00fcssel", 2), ApiClient("base", "9sTfB4hy"))
    assert "9sTfB4hy" not in repr(read_clients(tokens))
    one = tmp_path / "one.txt"
    one.write_text("two words are one token\n")
    assert read_clients(one) == (ApiClient(token="two words are one token"),)
    assert Serve((), token_file=tokens).options().allowed == read_clients(tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("# nobody\n", "empty file"),
        ("a b\nc\n", "line 2 .*got 1 words"),
        ("a b 1 2\nc d\n", "line 1 .*got 4 words"),
        ("a/b c\nd e\n", "line 1 .*a name is of letters"),
        ("a b high\nc d\n", "line 1 .*priority 'high'"),
        ("a b 10\nc d\n", "line 1 .*priority '10'"),
        ("a b\na c\n", "one name twice"),
        ("a b\nc b\n", "one token twice"),
        ("a b\x07\nc d\n", "control characters in line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_clients(path)


def test_whose_token_it_is() -> None:
    clients = (ApiClient("a", "one"), ApiClient("b", "two"))
    assert client_of("two", clients) == clients[1]
    assert client_of("three", clients) is None
    assert client_of("", clients) is None
    assert client_of("\ud800", clients) is None
    assert client_of("anything", ()) == ApiClient()


def test_each_clients_decisions_are_counted_and_a_stranger_is_refused(tmp_path: Path, tokens: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    with serving(tmp_path / "bundle", ServiceOptions(clients=read_clients(tokens))) as url:
        with PolicyClient(url, token="schl\u00fcssel") as client, client.open(tiny_body(), "find a mug") as session:
            session.act(tiny_observation(0))
            session.act(tiny_observation(1))
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer 9sTfB4hy"}) as http:
            assert act(http, open_path(http)).status_code == 200
            text = http.get("/metrics").text
        refusal(httpx.get(f"{url}/v1/manifest", headers={"Authorization": "Bearer schl"}), 401, "unauthorized")
    assert 'ferry_decisions_total{client="arm"} 2.0' in text
    assert 'ferry_decisions_total{client="base"} 1.0' in text
    assert "9sTfB4hy" not in text


def test_a_larger_priority_is_served_first() -> None:
    pool, begun, go = FairPool(1, "test"), threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(20)

    running = pool.submit(Account(), first)
    assert begun.wait(20)
    busy = Account(spent_s=10.0, at_s=float("inf"), priority=1)
    accounts = {"low": Account(priority=-1), "plain": Account(), "high": busy}
    waiting = [pool.submit(account, lambda name=name: order.append(name)) for name, account in accounts.items()]
    go.set()
    for future in (running, *waiting):
        future.result(20)
    assert order == ["high", "plain", "low"]
    pool.shutdown()
