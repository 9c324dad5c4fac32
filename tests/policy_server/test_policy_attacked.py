"""`ferry serve` under attack: whatever comes is refused with 4xx, costs little, and the robot beside it is answered."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import msgpack
import numpy as np
import pytest
from bundles import HEIGHT, WIDTH, tiny_body, tiny_observation, write_tiny_bundle
from servers import ferry_serve, serving, wait_until

from policy_server.bundle import PolicyBundle
from policy_server.client import ClientSession, PolicyClient
from policy_server.errors import Refused
from policy_server.wire.messages import JSON, MSGPACK

MIB = 2**20
INTEGERS = b"\x81\xa5state\x81\xa4hand\xdd" + struct.pack(">I", 15 * MIB) + bytes(15 * MIB)
LISTS = b"\x81\xa5state\xdc\x10\x00" + (b"\xdc\x0f\xff" + b"\x90" * 4095) * 3900


def decoy() -> bytes:
    """A JPEG of 30000 x 30000 whose comment holds a frame header of the camera's size."""
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", HEIGHT, WIDTH) + b"\x03" + bytes(9)
    comment = bytearray(0xE000 + 64)
    comment[0xDFFC : 0xDFFC + len(frame)] = frame
    real = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = real.index(b"\xff\xc0")
    real[at + 5 : at + 9] = struct.pack(">HH", 30_000, 30_000)
    head = b"\xff\xd8\xff\xff\xe0\x00\x02\xff\xfe" + struct.pack(">H", len(comment) + 2)
    return head + bytes(comment) + bytes(real[2:])


def inflating() -> bytes:
    """A PNG of the camera's size whose pixels unpack to 2 GiB."""
    packer, piece = zlib.compressobj(9), bytes(2**24)
    packer.compress(piece), packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"\x78\xda" + again * 128), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def seen(image: object, **changes: object) -> bytes:
    images = {"navigation": image, "manipulation": image}
    packed: bytes = msgpack.packb({"stamp_ns": 1, "images": images, "state": {"hand": [0.0]}, **changes})
    return packed


def opening(**changes: object) -> bytes:
    return json.dumps({"embodiment": tiny_body().to_json(), "instruction": "find a mug", **changes}).encode()


HOSTILE: list[tuple[int, Callable[[], bytes]]] = [
    (400, lambda: INTEGERS),
    (400, lambda: LISTS),
    (400, lambda: b"\x91" * MIB),
    (422, lambda: seen(decoy())),
    (422, lambda: seen(inflating())),
    (422, lambda: seen(b"\xff\xd8\xff\xda\0\x02" + b"\xff\x01" * 3 * MIB + b"\xff\xd9")),
    (422, lambda: seen({"shape": [0, 2**62, 2**62], "dtype": "uint8", "data": b""})),
    (413, lambda: bytes(17 * MIB)),
]
HOSTILE_OPENINGS: list[tuple[int, Callable[[], bytes]]] = [
    (400, lambda: b"[" * 200_000),
    (413, lambda: b"[" * 300_000),
    (422, lambda: opening(instruction="\ud800")),
    (422, lambda: opening(**{"\udcff": 1})),
    (422, lambda: opening(embodiment={"\ud800": [0] * 50_000})),
    (422, lambda: opening(embodiment={"cameras": [[]] * 50_000})),
]


def peak_mib(pid: int) -> float:
    """The largest resident memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def test_hostile_requests_are_refused_and_the_robot_is_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path, horizon=10_000)
    with ferry_serve(tmp_path) as (url, process), PolicyClient(url, timeout_s=20) as client:
        before = peak_mib(process.pid)
        with robot_beside(client) as slowest, httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            opened = http.post("/v1/sessions", content=opening(), headers={"Content-Type": JSON}).json()
            path = f"/v1/sessions/{opened['session_id']}/act"
            assert answer(http, "/v1/sessions/none/act", INTEGERS, MSGPACK) == 404
            for status, body in HOSTILE:
                assert answer(http, path, body(), MSGPACK) == status
            for status, body in HOSTILE_OPENINGS:
                assert answer(http, "/v1/sessions", body(), JSON) == status
        assert 0.0 < slowest[0] < 4.0  # each of these held the server for 5 to 57 s; 0.5 s belongs to a quiet machine
        assert peak_mib(process.pid) < before + 300
    assert "Traceback" not in capfd.readouterr().err


def answer(http: httpx.Client, path: str, body: bytes, kind: str) -> int:
    reply = http.post(path, content=body, headers={"Content-Type": kind})
    assert reply.json().keys() == {"error"}
    return reply.status_code


@contextmanager
def robot_beside(client: PolicyClient) -> Iterator[list[float]]:
    """A robot that asks all the while; yields how long it waited at most [s]."""
    session, over, slowest = client.open(tiny_body(), "find a mug"), threading.Event(), [0.0]
    thread = threading.Thread(target=drive, args=(session, over, slowest))
    thread.start()
    try:
        yield slowest
    finally:
        over.set()
        thread.join(20)


def drive(session: ClientSession, over: threading.Event, slowest: list[float]) -> None:
    executed = None
    while not over.wait(0.05):
        started = time.monotonic()
        executed = session.act(tiny_observation(), executed).name
        slowest[0] = max(slowest[0], time.monotonic() - started)


def test_an_opening_whose_client_is_gone_leaves_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bundle(tmp_path)
    begun, go, features = threading.Event(), threading.Event(), PolicyBundle.encode_text

    def slow(self: PolicyBundle, instruction: str, most: int) -> object:
        begun.set()
        assert go.wait(20)
        return features(self, instruction, most)

    with serving(tmp_path) as url, httpx.Client(base_url=url) as http:
        monkeypatch.setattr(PolicyBundle, "encode_text", slow)
        body = opening()
        head = f"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as impatient:
            impatient.sendall(head.encode() + b"\r\n\r\n" + body)
            assert begun.wait(20)
        wait_until(lambda: http.get("/healthz").status_code == 200)
        go.set()
        wait_until(lambda: 'ferry_requests_total{method="POST"' in http.get("/metrics").text)
        assert "ferry_sessions 0.0" in http.get("/metrics").text


def test_a_slow_body_holds_its_own_session_alone(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with serving(tmp_path) as url, PolicyClient(url, timeout_s=20) as client:
        session = client.open(tiny_body(), "find a mug")
        slow = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
        with slow:
            other = client.open(tiny_body(), "find a mug")
            path = f"/v1/sessions/{other._path.rsplit('/', 1)[1]}/act"
            slow.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {MSGPACK}\r\n".encode())
            slow.sendall(b"Content-Length: 1000\r\n\r\nabc")
            assert session.act(tiny_observation()).step == 0
        wait_until(lambda: answers(other))  # its session is free again once it is gone


def answers(session: ClientSession) -> bool:
    try:
        return session.act(tiny_observation()).step == 0
    except Refused:
        return False
