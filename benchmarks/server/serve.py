"""What the policy server adds to the bare onnxruntime call, and what travels, for one bundle on this machine.

    python -m benchmarks.server.serve BUNDLE                    # cameras of the policy's size
    python -m benchmarks.server.serve BUNDLE --camera 720 1280  # the view applied beside the robot, and in the server

Each round makes one decision in every way, one after the other, so that a change of load meets all of them. The server
is a process of its own, reached over TCP on this machine. "whole frames" sends camera images as they are, as curl does
and as the client did before it applied the view itself.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import tyro

from benchmarks.machine import cpu
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.graph_inputs import StepValues
from policy_server.images.image_codec import encode_image
from policy_server.onnx_policy import OnnxPolicy
from policy_server.wire import messages
from policy_server.wire.connection import Connection
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.observation import Observation
from robots.spec import U8Image

EXECUTED = "move_ahead"
Way = Callable[[int], dict[str, float]]


@dataclass(frozen=True)
class Benchmark:
    """Measures one bundle."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to serve."""
    rounds: int = 300
    """Decisions per way, warm-up not counted."""
    warm_up: int = 20
    """Decisions per way before measuring."""
    threads: int = 0
    """Threads of one inference, in the server and in the bare call; 0 for one per core."""
    camera: tuple[int, int] | None = None
    """Height and width of the camera images that are sent; the policy's own size when not given."""
    instruction: str = "find a mug"
    """What the policy is asked to do."""


class Counting(httpx.HTTPTransport):
    """The network; `body_bytes` is the size of the last request's body."""

    body_bytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request."""
        self.body_bytes = len(request.read())
        return super().handle_request(request)


@dataclass
class Timings:
    """Seconds per decision of one way, by part; `sent_bytes` of one decision, 0 where nothing travels."""

    network: Counting | None = None
    sent_bytes: int = 0

    parts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, timing_s: dict[str, float]) -> None:
        """Adds one decision."""
        for name, seconds in timing_s.items():
            self.parts.setdefault(name, []).append(seconds)
        self.sent_bytes = self.network.body_bytes if self.network else 0

    def row(self, name: str) -> str:
        """p50 and p99 in milliseconds; dashes for a part this way does not have."""
        if name not in self.parts:
            return f"{'-':>8} {'-':>8}"
        p50, p99 = np.percentile(np.array(self.parts[name]) * 1000, [50, 99])
        return f"{p50:8.2f} {p99:8.2f}"


def main() -> None:
    """Runs the benchmark and prints a table."""
    args = tyro.cli(Benchmark, description=__doc__)
    bundle = PolicyBundle.load(args.bundle, threads=args.threads)
    body = camera_body(bundle, args.camera)
    raw, packed, whole, form = (Counting() for _ in range(4))
    with serving(args) as url, PolicyClient(url, timeout_s=60, transport=raw) as client, PolicyClient(
        url, timeout_s=60, images="jpeg", transport=packed
    ) as jpeg, httpx.Client(base_url=url, timeout=60, transport=form) as http:  # fmt: skip
        seen = observation(body)
        connection = Connection(url, transport=whole)
        ways: dict[str, tuple[Way, Counting | None]] = {
            "onnxruntime alone": (bare(bundle, body, seen, args.instruction), None),
            "in this process": (session_way(lambda: OnnxPolicy(bundle).open(body, args.instruction), seen), None),
            "msgpack, raw": (session_way(lambda: client.open(body, args.instruction), seen), raw),
            "msgpack, JPEG": (session_way(lambda: jpeg.open(body, args.instruction), seen), packed),
            "raw, whole frames": (whole_frames(connection, body, seen, args.instruction), whole),
            "form, whole JPEGs": (multipart(http, body, seen, args.instruction), form),
        }
        results = measure(ways, bundle.manifest.spec.horizon, args)
        connection.close()
    report(bundle, body, results, args)


def camera_body(bundle: PolicyBundle, size: tuple[int, int] | None) -> Embodiment:
    """A Stretch RE1 with cameras of `size`, or of the policy's."""
    inputs = {one.name: one for one in bundle.manifest.spec.cameras}
    cameras = []
    for camera in STRETCH_RE1.cameras:
        height, width = size or (inputs[camera.name].height, inputs[camera.name].width)
        cameras.append(replace(camera, height=height, width=width))
    return STRETCH_RE1.with_cameras(*cameras)


def observation(body: Embodiment) -> Observation:
    """Smooth images, which JPEG packs about as well as a room, and the lowest state."""
    random = np.random.default_rng(0)

    def noise(height: int, width: int) -> U8Image:
        coarse = random.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
        return np.ascontiguousarray(coarse.repeat(12, 0).repeat(12, 1)[:height, :width])

    images = {camera.name: noise(camera.height, camera.width) for camera in body.cameras}
    state = {group: np.array(spec.low, np.float32) for group, spec in body.state.items()}
    return Observation(0, images, state)


def bare(bundle: PolicyBundle, body: Embodiment, seen: Observation, instruction: str) -> Way:
    """The policy graph alone, with the recurrent state of an episode."""
    episode = OnnxPolicy(bundle).open(body, instruction)
    images, state = episode.binding.images(seen), episode.binding.state(seen)
    recurrent = bundle.initial_state()

    def run(step: int) -> dict[str, float]:
        nonlocal recurrent
        recurrent = recurrent if step else bundle.initial_state()
        started = time.perf_counter()
        _, recurrent = bundle.run(StepValues(images, state, episode.text, 0, step), recurrent)
        return {"seen": time.perf_counter() - started}

    return run


def session_way(open_session: Callable[[], Any], seen: Observation, executed: str | None = EXECUTED) -> Way:
    """Anything with `act`, opened again for every episode; `executed` is None for a policy of chunks."""
    session: Any = None

    def run(step: int) -> dict[str, float]:
        nonlocal session
        if step == 0:
            if session is not None:
                session.close()
            session = open_session()
        started = time.perf_counter()
        decision = session.act(seen, executed if step else None)
        return {"seen": time.perf_counter() - started, **decision.timing_s}

    return run


def whole_frames(connection: Connection, body: Embodiment, seen: Observation, instruction: str) -> Way:
    """The client's own messages with the camera images as they are; the server applies the view."""
    path = ""

    def run(step: int) -> dict[str, float]:
        nonlocal path
        if step == 0:
            if path:
                connection.send("DELETE", path, timeout_s=60)
            message = {"embodiment": body.to_json(), "instruction": instruction}
            opened = connection.send("POST", "/v1/sessions", json.dumps(message).encode(), timeout_s=60)
            path = f"/v1/sessions/{messages.unpack_json(opened)['session_id']}"
        state = {"hand": seen.state["hand"]}
        started = time.perf_counter()
        executed = EXECUTED if step else None
        request = messages.ActRequest(0, seen.images, state, executed, reported=step > 0, step=step)
        reply = connection.send(
            "POST", f"{path}/act", messages.pack(request.to_fields()), kind=messages.MSGPACK, timeout_s=60, again=True
        )
        decision = messages.decision_from_fields(messages.unpack(reply))
        return {"seen": time.perf_counter() - started, **decision.timing_s}

    return run


def multipart(http: httpx.Client, body: Embodiment, seen: Observation, instruction: str) -> Way:
    """JPEG files in a form, as curl would send them; encoding them counts."""
    path = ""

    def run(step: int) -> dict[str, float]:
        nonlocal path
        if step == 0:
            if path:
                http.delete(path)
            message = {"embodiment": body.to_json(), "instruction": instruction}
            path = f"/v1/sessions/{http.post('/v1/sessions', json=message).json()['session_id']}"
        fields: dict[str, Any] = {"stamp_ns": 0, "state": {"hand": [0.0]}}
        fields |= {"executed": EXECUTED} if step else {}
        started = time.perf_counter()
        files = {name: encode_image(image, "jpeg") for name, image in seen.images.items()}
        reply = http.post(f"{path}/act", data={"observation": json.dumps(fields)}, files=files)
        timing: dict[str, float] = reply.raise_for_status().json()["timing_s"]
        return {"seen": time.perf_counter() - started, **timing}

    return run


def measure(ways: dict[str, tuple[Way, Counting | None]], horizon: int, args: Benchmark) -> dict[str, Timings]:
    """Runs every way once per round, in turn."""
    results = {name: Timings(network) for name, (_, network) in ways.items()}
    for number in range(args.warm_up + args.rounds):
        for name, (way, _) in ways.items():
            timing_s = way(number % horizon)
            if number >= args.warm_up:
                results[name].add(timing_s)
    return results


@contextmanager
def serving(args: Benchmark) -> Iterator[str]:
    """Runs `ferry serve` on a free port until the block ends; yields its URL."""
    command = [sys.executable, "-m", "policy_server.serve", str(args.bundle), "--port", "0"]
    command += ["--threads", str(args.threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if " ready at " not in line:
            sys.exit("ferry serve did not start")
        try:
            yield line.split()[-1]
        finally:
            process.terminate()


def report(bundle: PolicyBundle, body: Embodiment, results: dict[str, Timings], args: Benchmark) -> None:
    """Prints the machine and one row per way."""
    sizes = ", ".join(f"{one.name} {one.height}x{one.width}" for one in body.cameras)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"Python {platform.python_version()}, onnxruntime {ort.__version__}, threads {args.threads or 'all'}")
    print(f"bundle {bundle.manifest.name} {bundle.sha256[:12]}; cameras: {sizes}; {args.rounds} rounds\n")
    parts = {"seen": "client [ms]", "total": "server [ms]", "inference": "inference [ms]"}
    print(f"{'':<18}" + "".join(f"{title:>19}" for title in parts.values()) + f"{'added [ms]':>12}{'sent [kB]':>12}")
    print(f"{'':<18}" + "  " + "  ".join(f"{'p50':>8} {'p99':>8}" for _ in parts) + f"{'p50':>12}")
    alone = float(np.median(results["onnxruntime alone"].parts["seen"]))
    for name, timings in results.items():
        added = 1000 * (float(np.median(timings.parts["seen"])) - alone)
        print(
            f"{name:<18}  "
            + "  ".join(timings.row(part) for part in parts)
            + f"{added:12.2f}{timings.sent_bytes / 1000:12.1f}"
        )


if __name__ == "__main__":
    main()
