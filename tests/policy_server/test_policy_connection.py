"""One request to a server that packs its replies, closes its connections, or says things that are too long."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from bundles import write_tiny_bundle
from servers import serving

from policy_server.client import PolicyClient
from policy_server.errors import Refused, Unreachable, WireError
from policy_server.serving.service import ServiceOptions
from policy_server.wire.connection import Connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOTHING = b""


@contextmanager
def closing_after(replies: list[list[bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers the requests of one connection after the other with `replies`, then hangs up on each."""
    asked: list[bytes] = []

    def serve() -> None:
        for answers in replies:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    asked.append(connection.recv(65536))
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize(("method", "again"), [("GET", False), ("DELETE", False), ("POST", True)])
def test_a_connection_that_was_closed_meanwhile_is_not_the_end(method: str, again: bool) -> None:
    with closing_after([[OK, NOTHING], [OK]]) as (url, asked):
        connection = Connection(url)
        assert connection.send(method, "/one", timeout_s=20, again=again) == b"ok"
        assert connection.send(method, "/two", timeout_s=20, again=again) == b"ok"
        assert [one.split()[1] for one in asked] == [b"/one", b"/two", b"/two"]
        connection.close()


def test_what_must_not_be_done_twice_is_not_sent_twice() -> None:
    with closing_after([[OK, NOTHING]]) as (url, _):
        connection = Connection(url)
        assert connection.send("POST", "/one", timeout_s=20) == b"ok"
        with pytest.raises(Unreachable):
            connection.send("POST", "/two", timeout_s=20)
        connection.close()


def test_a_server_that_always_hangs_up_is_asked_twice_and_no_more() -> None:
    with closing_after([[NOTHING], [NOTHING]]) as (url, asked):
        connection = Connection(url)
        with pytest.raises(Unreachable):
            connection.send("GET", "/one", timeout_s=20)
        assert len(asked) == 2
        connection.close()


def test_a_packed_reply_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(bytes(256 * 2**20), 1))
    headers = {"Content-Encoding": "gzip, gzip"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(bomb), headers=headers))
    connection = Connection("http://scripted", transport=transport)
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(WireError, match="got content-encoding 'gzip, gzip'"):
        connection.send("GET", "/v1/manifest", timeout_s=5)
    assert time.monotonic() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_replies_are_asked_for_as_they_are() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200)

    Connection("http://scripted", transport=httpx.MockTransport(answer)).send("GET", "/", timeout_s=5)
    assert asked == ["identity"]


def test_an_error_of_any_length_and_depth_is_a_refusal() -> None:
    for body in (b"[" * 10**6, b'{"error": ' * 5000, b"1" * 10**6):
        transport = httpx.MockTransport(lambda _, body=body: httpx.Response(500, content=body))
        with pytest.raises(Refused, match="HTTP 500"):
            Connection("http://scripted", transport=transport).send("GET", "/", timeout_s=5)


def test_a_token_may_have_any_letters(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with serving(tmp_path, ServiceOptions(token="schlüssel-鍵")) as url:
        with PolicyClient(url, token="schlüssel-鍵") as client:
            assert len(client.served()[1]) == 64
        for wrong in ("schlussel-鍵", "schlüssel-鍵".encode().decode("latin-1")):
            with PolicyClient(url, token=wrong) as stranger, pytest.raises(Refused, match="authorization"):
                stranger.manifest()
