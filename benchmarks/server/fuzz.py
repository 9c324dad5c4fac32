"""20,000 generated requests to the policy server: none may be answered 5xx (but 503) or leave a traceback in its log.

    python -m benchmarks.server.fuzz BUNDLE [--schemathesis PROGRAM]

Half of them come from a stateful fuzzer: it opens sessions, acts, closes, and changes a thing or two in what it sends.
The rest, when its program is given, from schemathesis (`pip install 'ferry[fuzz]'`), by the server's own description.
"""

from __future__ import annotations

import copy
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgpack
import numpy as np
import tyro

from benchmarks.server.attack_kinds import body_of
from benchmarks.server.attacks import memory, serving
from policy_server.images.image_codec import encode_image

SIZE = (84, 144)
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**63, 10**30, float("nan"), float("inf"), "", "text", "\ud800", "\x00", "a" * 3000),
    *([], [1], [[]] * 50, {}, {"a": 1}, {"\udcff": 1}, b"", b"\xff\xd8"),
    {"shape": [0, 2**62, 2**62], "dtype": "uint8", "data": b""},
    {"shape": [-1], "dtype": "float32", "data": b"1234"},
    {"shape": [1], "dtype": "float32", "data": b"\0\0\xc0\x7f"},
)
PATHS = (
    "/",
    "//",
    "/v1/sessions",
    "/v1/sessions/%ED%A0%80",
    "/v1/sessions/%00/act",
    "/v1/manifest",
    "/metrics",
    "/docs",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X")
FORM = "multipart/form-data; boundary=x"
KINDS = ("application/msgpack", "application/json", FORM, "multipart/form-data", "", "a/b; c")
PART = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'


@dataclass(frozen=True)
class Requests:
    """Fuzzes one bundle."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to serve."""
    count: int = 10_000
    """Requests of the stateful fuzzer."""
    seed: int = 0
    """Of everything that is drawn."""
    schemathesis: str = ""
    """The program, e.g. .venv/bin/schemathesis; nothing for none."""
    examples: int = 1500
    """Examples of each operation that schemathesis generates."""


class Fuzzer:
    """Draws requests and keeps the sessions that were opened."""

    def __init__(self, http: httpx.Client, seed: int) -> None:
        self._http, self._random = http, random.Random(seed)
        self._body = json.loads(json.dumps(body_of(SIZE).to_json()))
        image = np.full((*SIZE, 3), 90, np.uint8)
        raw = {"shape": [*SIZE, 3], "dtype": "uint8", "data": image.tobytes()}
        self._pictures: list[Any] = [raw, encode_image(image, "jpeg"), encode_image(image, "png")]
        self._sessions: list[tuple[str, int]] = [("none", 0)]
        self.answers: Counter[str] = Counter()

    def step(self) -> None:
        """Sends one request and notes the answer."""
        kinds: list[Callable[[], httpx.Response]] = [
            self._open,
            self._act,
            self._act,
            self._act,
            self._close,
            self._any,
        ]
        try:
            reply = self._random.choice(kinds)()
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return
        code = reply.json()["error"]["code"] if reply.status_code >= 500 else ""
        self.answers[f"{reply.status_code} {code}".strip()] += 1

    def _open(self) -> httpx.Response:
        message: Any = {"embodiment": copy.deepcopy(self._body), "instruction": "find a mug", "seed": 1}
        content = json.dumps(self._changed(message), default=repr).encode()
        reply = self._http.post("/v1/sessions", content=self._cut(content), headers={"Content-Type": KINDS[1]})
        if reply.status_code == 201:
            self._sessions.append((reply.json()["session_id"], 0))
            if len(self._sessions) > 12:
                self._http.delete(f"/v1/sessions/{self._sessions.pop(1)[0]}")
        return reply

    def _act(self) -> httpx.Response:
        at = self._random.randrange(len(self._sessions))
        id, step = self._sessions[at]
        images = {name: self._random.choice(self._pictures) for name in ("navigation", "manipulation")}
        message: Any = {"stamp_ns": 1, "images": images, "state": {"hand": [0.0]}, "step": step}
        message |= {"executed": "move_ahead"} if step else {}
        content, kind = self._packed(self._changed(message))
        reply = self._http.post(f"/v1/sessions/{id}/act", content=self._cut(content), headers={"Content-Type": kind})
        if reply.status_code == 200:
            self._sessions[at] = (id, step + 1)
        return reply

    def _packed(self, message: Any) -> tuple[bytes, str]:
        try:
            if self._random.random() < 0.7 or not isinstance(message.get("images"), dict):
                return msgpack.packb(message, unicode_errors="surrogatepass"), KINDS[0]
        except (OverflowError, ValueError, TypeError, AttributeError):
            return b"\x80", KINDS[0]
        files = message.pop("images")
        parts = [PART.format("observation", "").encode() + json.dumps(message, default=repr).encode()]
        for name, data in files.items():
            head = PART.format(name, '; filename="a"').encode(errors="surrogatepass")
            parts.append(head + (data if isinstance(data, bytes) else b"text"))
        return b"\r\n".join([*parts, b"--x--\r\n"]), FORM

    def _close(self) -> httpx.Response:
        id, _ = self._random.choice(self._sessions)
        if self._random.random() < 0.3 and len(self._sessions) > 1:
            self._sessions = [one for one in self._sessions if one[0] != id] or [("none", 0)]
            return self._http.delete(f"/v1/sessions/{id}")
        return self._http.delete("/v1/sessions/" + "".join(self._random.choices(string.ascii_letters, k=8)))

    def _any(self) -> httpx.Response:
        headers = {"Content-Type": self._random.choice(KINDS)}
        content = self._random.randbytes(self._random.choice((0, 1, 30, 5000)))
        return self._http.request(
            self._random.choice(METHODS), self._random.choice(PATHS), content=content, headers=headers
        )

    def _changed(self, message: Any) -> Any:
        for _ in range(self._random.choice((0, 0, 1, 1, 2))):
            where = message
            while True:
                names = list(where) if isinstance(where, dict) else list(range(len(where)))
                name = self._random.choice(names)
                inner = where[name]
                if isinstance(inner, (dict, list)) and inner and self._random.random() < 0.7:
                    where = inner
                    continue
                self._put(where, name)
                break
        return message

    def _put(self, where: Any, name: Any) -> None:
        kind = self._random.random()
        if kind < 0.6:
            where[name] = copy.deepcopy(self._random.choice(JUNK))
        elif kind < 0.8 and isinstance(where, dict):
            where[self._random.choice(("other", "", "\ud800", "shape"))] = where.pop(name)
        elif isinstance(where, dict) and len(where) > 1:
            del where[name]

    def _cut(self, content: bytes) -> bytes:
        if self._random.random() < 0.9 or not content:
            return content
        at = self._random.randrange(len(content))
        return self._random.choice((content[:at], content[:at] + b"\xff" + content[at + 1 :], content + content[:at]))


def main() -> None:
    """Sends all and prints what was answered; exit code 1 when something was answered that must not be."""
    args = tyro.cli(Requests, description=__doc__)
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log, serving(args.bundle, log) as (url, pid):
        before = memory(pid)
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            fuzzer = Fuzzer(http, args.seed)
            for _ in range(args.count):
                fuzzer.step()
        print(f"stateful fuzzer: {args.count} requests: {dict(sorted(fuzzer.answers.items()))}", flush=True)
        generated = schemathesis(args, url) if args.schemathesis else ""
        counted = httpx.get(f"{url}/metrics", trust_env=False, timeout=60).text
        after = memory(pid)
        log.seek(0)
        text = log.read()
    print(generated)
    totals: Counter[str] = Counter()
    for line in counted.splitlines():
        if line.startswith("ferry_requests_total"):
            totals[line.partition('status="')[2][:3]] += int(float(line.split()[-1]))
    print(f"the server counted {sum(totals.values())} requests: {dict(sorted(totals.items()))}")
    print(f"errors by code: {[line for line in counted.splitlines() if line.startswith('ferry_errors_total')]}")
    print(f"RSS {before:.0f} -> {after:.0f} MiB; log {len(text)} characters, {text.count('Traceback')} tracebacks")
    print(f"{time.monotonic() - started:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}")
    bad = [status for status in totals if status >= "500" and status != "503"]
    sys.exit(1 if bad or "Traceback" in text else 0)


def schemathesis(args: Requests, url: str) -> str:
    """What schemathesis says at its end."""
    command = [args.schemathesis, "run", f"{url}/openapi.json", "--max-examples", str(args.examples)]
    command += ["--seed", str(args.seed), "--checks", "not_a_server_error", "--continue-on-failure", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False)
    return done.stdout[-2500:]


if __name__ == "__main__":
    main()
