"""`ferry serve --dialect gr00t`: requests over ZeroMQ, and errors in its words."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialects import Served, SlowBundle, busy, dialect_serving, needs_zmq
from foreign_bundles import ROWS, expected, seen

from policy_server.dialects import npy_codec
from policy_server.serving.service import ServiceOptions

OPTIONS = ServiceOptions(max_body_bytes=100_000, max_sessions=8, workers=2)


@pytest.fixture(scope="module")
def gr00t(arm_bundle: Path) -> Iterator[Served]:
    with dialect_serving(arm_bundle, "gr00t", OPTIONS) as served:
        yield served


def gr00t_socket(served: Served) -> Any:
    import zmq

    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 20_000)
    socket.connect(f"tcp://127.0.0.1:{served.port}")
    return socket


def gr00t_call(socket: Any, data: bytes) -> Any:
    socket.send(data)
    return npy_codec.unpack_reply(socket.recv())


@needs_zmq
def test_gr00ts_endpoints(gr00t: Served) -> None:
    with gr00t_socket(gr00t) as socket:
        assert gr00t_call(socket, npy_codec.pack({"endpoint": "ping"}))["status"] == "ok"
        modalities = gr00t_call(socket, npy_codec.pack({"endpoint": "get_modality_config"}))
        assert modalities["video"] == {"delta_indices": [0], "modality_keys": ["outside", "wrist"]}
        assert modalities["action"]["delta_indices"] == list(range(ROWS))
        assert gr00t_call(socket, npy_codec.pack({"endpoint": "reset", "data": {"options": None}})) == {}
        data = {"observation": gr00t.fields(seen()), "options": None}
        action, info = gr00t_call(socket, npy_codec.pack({"endpoint": "get_action", "data": data}))
        np.testing.assert_allclose(action["actions"], expected()[None], rtol=1e-5)
        assert info["inference_s"] > 0


@needs_zmq
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        npy_codec.pack([1]),
        npy_codec.pack({"endpoint": "kill"}),
        npy_codec.pack({"endpoint": 5}),
        npy_codec.pack({"endpoint": "get_action"}),
        npy_codec.pack({"endpoint": "get_action", "data": {"observation": {"video": 5}}}),
        npy_codec.pack({"data": {"observation": {"video": {"outside": np.zeros(3)}}}}),
    ],
)
def test_gr00ts_errors_are_maps_with_an_error(gr00t: Served, data: bytes) -> None:
    with gr00t_socket(gr00t) as socket:
        reply = gr00t_call(socket, data)
        assert set(reply) == {"error"}
        assert "Traceback" not in reply["error"]
        assert gr00t_call(socket, npy_codec.pack({"endpoint": "ping"}))["status"] == "ok"


@needs_zmq
def test_a_request_as_gr00ts_client_packs_it(gr00t: Served) -> None:
    """Packed by a copy of MsgSerializer of NVIDIA/Isaac-GR00T@ade260e, gr00t/policy/server_client.py, typed from it."""
    recorded = (Path(__file__).parent / "goldens" / "gr00t_get_action.msgpack").read_bytes()
    with gr00t_socket(gr00t) as socket:
        action, _ = gr00t_call(socket, recorded)
    np.testing.assert_allclose(action["actions"], expected()[None], rtol=1e-5)
    data = {"observation": gr00t.fields(seen()), "options": None}
    assert npy_codec.pack({"endpoint": "get_action", "data": data}) == recorded


@needs_zmq
def test_pings_are_answered_during_inference(arm_bundle: Path) -> None:
    with (
        dialect_serving(arm_bundle, "gr00t", kind=SlowBundle) as served,
        gr00t_socket(served) as one,
        gr00t_socket(served) as other,
    ):
        data = npy_codec.pack({"data": {"observation": served.fields(seen())}})
        took_s, times = busy(
            lambda: gr00t_call(one, data), lambda: gr00t_call(other, npy_codec.pack({"endpoint": "ping"}))
        )
        assert statistics.median(times) < took_s / 5
