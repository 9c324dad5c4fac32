"""The view beside the robot, or in the server for whoever sends whole frames: the graph gets the same bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import tiny_body, write_tiny_bundle
from servers import running

import policy_server.client
import policy_server.onnx_policy
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.onnx_policy import OnnxPolicy
from policy_server.serving.app import create_app
from policy_server.wire.messages import MSGPACK, ActRequest, pack, unpack
from robots.binding import Binding, bind
from robots.embodiment import Embodiment
from robots.embodiments.locobot import LOCOBOT
from robots.observation import Observation
from robots.spec import PolicySpec

BODIES = {
    "two cameras of 1280x720": tiny_body(720, 1280),
    "one camera of 640x480 for both inputs": LOCOBOT,
    "cameras of the network's size": tiny_body(),
}
VIEWED_BYTES = 2 * 84 * 144 * 3


@dataclass
class Watched:
    """An onnxruntime session that keeps what it is fed."""

    session: Any
    fed: list[dict[str, np.ndarray]] = field(default_factory=list)

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """As the session."""
        self.fed.append({name: value.copy() for name, value in feed.items()})
        outputs: list[np.ndarray] = self.session.run(names, feed)
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class Counting(httpx.HTTPTransport):
    """The network, and what was sent over it: (method, path, bytes of the body)."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, int]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends."""
        self.sent.append((request.method, request.url.path, len(request.read())))
        return super().handle_request(request)


@dataclass(frozen=True)
class Served:
    """A server in this process, with its bundle, whose policy graph is watched."""

    url: str
    bundle: PolicyBundle
    graph: Watched


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("bundle")
    write_tiny_bundle(folder)
    bundle = PolicyBundle.load(folder, threads=1)
    graph, ready = Watched(bundle.policy), threading.Event()
    bundle = replace(bundle, policy=graph)
    with running(create_app(bundle, announce=ready.set)) as url:
        assert ready.wait(20)
        yield Served(url, bundle, graph)


def noisy(body: Embodiment, stamp_ns: int = 7) -> Observation:
    random = np.random.default_rng(stamp_ns)
    images = {c.name: random.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in body.cameras}
    return Observation(stamp_ns, images, {group: np.array(spec.low, np.float32) for group, spec in body.state.items()})


def act_with_whole_frames(url: str, body: Embodiment, seen: Observation) -> Mapping[str, Any]:
    """The decision for frames that are sent as they are, as curl or an older client does."""
    with httpx.Client(base_url=url, timeout=20) as http:
        message = {"embodiment": body.to_json(), "instruction": "find a mug"}
        opened = http.post("/v1/sessions", json=message).raise_for_status().json()
        images = {name: seen.images[name] for name in opened["cameras"]}
        state = {group: seen.state[group] for group in opened["state"]}
        fields = ActRequest(seen.stamp_ns, images, state).to_fields()
        path = f"/v1/sessions/{opened['session_id']}/act"
        reply = http.post(path, content=pack(fields), headers={"Content-Type": MSGPACK})
        return unpack(reply.raise_for_status().content)


@pytest.mark.parametrize("name", BODIES)
def test_the_graph_gets_the_same_bytes_wherever_the_view_is_applied(served: Served, name: str) -> None:
    url, body = served.url, BODIES[name]
    served.graph.fed.clear()
    seen = noisy(body)
    with PolicyClient(url, timeout_s=20) as client, client.open(body, "find a mug") as session:
        beside_the_robot = session.act(seen)
    in_the_server = act_with_whole_frames(url, body, seen)
    with_no_server = OnnxPolicy(served.bundle).open(body, "find a mug").act(seen)
    first, *others = served.graph.fed
    assert len(others) == 2
    for other in others:
        assert other.keys() == first.keys()
        for key, value in first.items():
            assert (other[key].dtype, other[key].shape) == (value.dtype, value.shape)
            assert other[key].tobytes() == value.tobytes(), key
    assert beside_the_robot.name == in_the_server["name"] == with_no_server.name


def test_only_what_the_network_sees_travels_and_a_trial_asks_for_the_manifest_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, body = served.url, BODIES["two cameras of 1280x720"]
    bound: list[Embodiment] = []

    def counted(policy: PolicySpec, one: Embodiment) -> Binding:
        bound.append(one)
        return bind(policy, one)

    for module in (policy_server.client, policy_server.onnx_policy):
        monkeypatch.setattr(module, "bind", counted)
    network = Counting()
    with PolicyClient(url, timeout_s=20, transport=network) as client, client.open(body, "find a mug") as session:
        for step in range(3):
            session.act(noisy(body, step), "move_ahead" if step else None)
    paths = [(method, path.rpartition("/")[2]) for method, path, _ in network.sent]
    assert paths[:-1] == [("GET", "manifest"), ("POST", "sessions"), *[("POST", "act")] * 3]
    assert [one.cameras[0].height for one in bound] == [720, 84], "once in the client and once in the server"
    for _, _, size in network.sent[2:-1]:
        assert VIEWED_BYTES < size < VIEWED_BYTES + 1000


def test_whole_frames_of_another_size_than_the_robot_has_are_refused(served: Served) -> None:
    """Also those of the network's size: which one was meant is not guessed."""
    body = BODIES["two cameras of 1280x720"]
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        act_with_whole_frames(served.url, body, noisy(tiny_body()))
