"""XPolicyLab's frames: those that RoboTwin's evaluation sends are answered, and its servers can be asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from chunk_bundles import write_chunk_bundle
from dialects import Served, dialect_serving
from foreign_bundles import ROWS, expected, seen
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from benchmarks.server.robotwin_replay import replayed, table
from policy_server.dialects.contract_file import read_contract
from policy_server.dialects.translation import Translation
from policy_server.dialects.xpolicylab_codec import Frame
from policy_server.errors import ContractError, Refused, WireError
from policy_server.foreign.connect import connect as connect_policy
from policy_server.foreign.connect import server_of
from policy_server.serving.service import ServiceOptions
from robots.spec import CameraInput
from simulation.demonstrations.robotwin_files import read_robotwin

GOLDEN = Path(__file__).parent / "goldens" / "robotwin"
EXAMPLE = Path(__file__).parents[2] / "examples" / "contracts" / "robotwin_aloha.yaml"
OPTIONS = ServiceOptions(max_sessions=8, workers=2)
SENT_ROWS = 3
SCRIPT = np.random.default_rng(0).uniform(0.0, 1.0, (4, 5, 14)).astype(np.float32)


def golden(name: str) -> bytes:
    (file,) = GOLDEN.glob(f"frame_*_{name}.msgpack")
    return file.read_bytes()


def small_contract(folder: Path, rows: int = SENT_ROWS) -> Path:
    """The example's contract with small images and short chunks."""
    text = (
        EXAMPLE.read_text()
        .replace("height: 240, width: 320", "height: 24, width: 32")
        .replace("rows: 25", f"rows: {rows}")
    )
    (folder / "contract.yaml").write_text(text)
    return folder / "contract.yaml"


def write_robotwin_bundle(folder: Path) -> None:
    """A scripted policy of both arms that takes the head's camera and all joints."""
    contract = read_contract(EXAMPLE)
    cameras = [CameraInput("cam_head", 24, 32, 37.0)]
    write_chunk_bundle(folder, contract.actions.spec.vector, SCRIPT, cameras=cameras, state=contract.policy_spec.state)


@pytest.fixture(scope="module")
def robotwin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A scripted policy of both arms; it counts its steps, so that an episode's begin is seen."""
    folder = tmp_path_factory.mktemp("robotwin")
    write_robotwin_bundle(folder / "bundle")
    with dialect_serving(folder / "bundle", "xpolicylab", OPTIONS, small_contract(folder)) as served:
        yield served


@pytest.fixture(scope="module")
def arm(arm_bundle: Path) -> Iterator[Served]:
    """A policy without memory for one arm, by the default contract."""
    with dialect_serving(arm_bundle, "xpolicylab", OPTIONS) as served:
        yield served


def socket_to(served: Served) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{served.port}", compression=None, open_timeout=20, proxy=None)


def raw(socket: ClientConnection, data: bytes | str) -> dict[str, Any]:
    """The answer's map as msgpack has it: arrays are maps with keys of bytes."""
    socket.send(data)
    reply = msgpack.unpackb(socket.recv(20), raw=False, strict_map_key=False)
    assert isinstance(reply, dict)
    return reply


def numbers(array: dict[bytes, Any]) -> np.ndarray:  # type: ignore[type-arg]
    """As msgpack-numpy reads an array."""
    assert array[b"nd"] is True
    return np.ndarray(array[b"shape"], np.dtype(array[b"type"]), array[b"data"])


def rows_of(reply: dict[str, Any]) -> np.ndarray:  # type: ignore[type-arg]
    assert reply["message_type"] == "infer_result", reply
    return np.array([np.concatenate([numbers(row[key]) for key in row]) for row in reply["payload"]["actions"]])


def test_a_trial_of_robotwins_evaluation(robotwin: Served) -> None:
    with socket_to(robotwin) as socket:
        for name in ("hello", "prepare_case", "reset"):
            reply = raw(socket, golden(name))
            assert reply["payload"]["ok"] is True
        asked = msgpack.unpackb(golden("reset"), raw=False, strict_map_key=False)
        repeated = ("message_id", "evaluation_id", "action_case_id", "trial_id", "repeat_index", "step")
        assert {name: reply[name] for name in repeated} == {name: asked[name] for name in repeated}
        assert set(reply) == set(asked), "the original refuses entries that it does not know"
        for step in range(2):
            data = sorted(GOLDEN.glob("frame_*_infer.msgpack"))[step].read_bytes()
            reply = raw(socket, data)
            assert reply["message_type"] == "infer_result", reply
            assert set(reply["payload"]["actions"][0]) == {
                "left_arm_joint_state", "left_ee_joint_state", "right_arm_joint_state", "right_ee_joint_state",
            }  # fmt: skip
            np.testing.assert_allclose(rows_of(reply), SCRIPT[step, :SENT_ROWS], atol=1e-6)
            assert reply["payload"]["latency_ms"] > 0
        assert raw(socket, golden("heartbeat"))["message_type"] == "heartbeat_ack"
        assert raw(socket, golden("trial_end"))["message_type"] == "trial_end_ack"
        first = sorted(GOLDEN.glob("frame_*_infer.msgpack"))[0].read_bytes()
        np.testing.assert_allclose(rows_of(raw(socket, first)), SCRIPT[0, :SENT_ROWS], atol=1e-6)
        socket.send(golden("close"))
        with pytest.raises(ConnectionClosed):
            socket.recv(20)


@pytest.mark.parametrize("file", ["data/episode0.hdf5", "xpolicylab/episode_0000000.hdf5"])
def test_a_recorded_episode_is_what_the_evaluation_sends(robotwin: Served, file: str) -> None:
    pytest.importorskip("h5py", reason="the extra `libero` is not installed")
    episode = read_robotwin(GOLDEN / file)
    translation = Translation(robotwin.contract)
    live = translation.request_from_fields(Frame.unpack(golden_infer()).payload["observation"])
    kept = translation.request_from_fields(episode.observation(0))
    assert kept.instruction == live.instruction == "find a mug"
    for key, values in live.state.items():
        np.testing.assert_allclose(kept.state[key], values, atol=1e-6)
    difference = np.abs(kept.images["cam_head"].astype(int) - live.images["cam_head"])
    assert difference.mean() < 8, "JPEG, with red and blue where they were"
    with socket_to(robotwin) as socket:
        asked = Frame("infer", "1", "replay", {"observation": episode.observation(1)})
        np.testing.assert_allclose(rows_of(raw(socket, asked.pack())), SCRIPT[0, :SENT_ROWS], atol=1e-6)


def test_a_replay_tells_how_far_the_answers_are_from_what_was_recorded(robotwin: Served) -> None:
    pytest.importorskip("h5py", reason="the extra `libero` is not installed")
    episode = read_robotwin(GOLDEN / "data" / "episode0.hdf5")
    server, contract = server_of(robotwin.url, robotwin.contract)
    errors = replayed(server, contract, episode, every=2, timeout_s=20.0)
    server.close()
    asked = np.concatenate([SCRIPT[0, :3], SCRIPT[1, :1]])  # at rows 0 and 2 of three
    kept = np.concatenate([episode.actions["right_arm_joint_state"], episode.actions["right_arm_joint_state"][2:]])
    np.testing.assert_allclose(errors["right_arm_joint_state"], np.abs(asked[:, 7:13] - kept), atol=1e-6)
    assert "| right_ee_joint_state | share | 4 |" in table(contract, errors)


def golden_infer() -> bytes:
    return sorted(GOLDEN.glob("frame_*_infer.msgpack"))[0].read_bytes()


def test_environments_of_one_connection_have_episodes_of_their_own(robotwin: Served) -> None:
    observation = dict(Frame.unpack(golden_infer()).payload["observation"])
    with socket_to(robotwin) as socket:
        steps = []
        for number in (0, 1, 0, 1, 0):
            asked = Frame("infer", "1", "batch", {"observation": {**observation, "env_idx": number}})
            reply = rows_of(raw(socket, asked.pack()))
            steps.append(int(np.abs(SCRIPT[:, :SENT_ROWS] - reply).sum((1, 2)).argmin()))
        assert steps == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"message_type": "dance"}, "unknown_message_type"),
        ({"message_id": 3}, "invalid_frame"),
        ({"payload": [1]}, "invalid_frame"),
        ({"payload": {}}, "invalid_frame"),
        ({"payload": {"observation": {"instruction": "find a mug"}}}, "infer_failed"),
        ({"payload": {"observation": {"env_idx": "first"}}}, "infer_failed"),
    ],
)
def test_what_is_wrong_is_answered_and_the_next_frame_too(robotwin: Served, change: dict[str, Any], code: str) -> None:
    entries = {**msgpack.unpackb(golden_infer(), raw=False, strict_map_key=False), **change}
    with socket_to(robotwin) as socket:
        for data in (msgpack.packb(entries), b"\xc1", "text"):
            reply = raw(socket, data)
            assert reply["message_type"] == "error"
            assert "Traceback" not in reply["payload"]["message"]
            assert reply["payload"]["code"] == (code if isinstance(data, bytes) and len(data) > 1 else "invalid_frame")
        np.testing.assert_allclose(rows_of(raw(socket, golden_infer())), SCRIPT[0, :SENT_ROWS], atol=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": b"cos\nsystem\n."},
        {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [9], b"data": b"1234"},
        {b"nd": True, b"type": [["x", "<f4"]], b"kind": b"V", b"shape": [1], b"data": b"1234"},
        {b"nd": False, b"type": "<f8", b"data": b"1"},
        {b"complex": True, b"data": "1j"},
    ],
)
def test_arrays_that_are_none_are_refused_unread(value: dict[bytes, Any]) -> None:
    entries = {"message_type": "infer", "message_id": "1", "evaluation_id": "e", "payload": {"observation": value}}
    with pytest.raises(WireError):
        Frame.unpack(msgpack.packb(entries))


def test_numbers_survive_the_wire() -> None:
    sent = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.float64(0.5),
        "c": np.uint8(7),
        "d": [True, None],
    }
    frame = Frame("infer", "1", "e", sent, {"step": 4, "trial_id": "t"})
    back = Frame.unpack(frame.pack())
    assert replace(back, payload={}) == replace(frame, payload={})
    np.testing.assert_array_equal(back.payload["a"], sent["a"])
    assert [back.payload[name] for name in "bcd"] == [sent[name] for name in "bcd"]


def test_more_rows_than_the_policy_answers_are_refused(tmp_path: Path) -> None:
    write_robotwin_bundle(tmp_path / "bundle")
    with (
        pytest.raises(ContractError, match="expected at most 5"),
        dialect_serving(tmp_path / "bundle", "xpolicylab", OPTIONS, small_contract(tmp_path, rows=6)),
    ):
        pass


def test_ferry_asks_a_server_of_this_protocol(arm: Served) -> None:
    from foreign_bundles import arm as body

    with connect_policy(arm.url, arm.contract) as policy, policy.open(body(), "find a mug") as session:
        for number, joint in enumerate((0.1, 0.2, 0.3)):
            decision = session.act(seen(number + 1, joint=joint))
            np.testing.assert_allclose(decision.chunk, expected(joint=joint)[: ROWS // 2], rtol=1e-5)


@contextmanager
def answering(change: dict[str, Any]) -> Iterator[int]:
    """A server that acknowledges everything, and to `infer` answers a wrong frame."""

    def talk(socket: ServerConnection) -> None:
        for data in socket:
            assert isinstance(data, bytes)
            asked = Frame.unpack(data)
            answer = asked.answer({"ok": True})
            if asked.kind == "infer":
                socket.send(replace(answer, number="another").pack())  # passed over
                answer = replace(answer, **change)
            socket.send(answer.pack())

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"kind": "error", "payload": {"message": "out of memory"}}, Refused, "out of memory"),
        ({"kind": "reset_result"}, WireError, "expected 'infer_result'"),
        ({"payload": {}}, WireError, "actions"),
    ],
)
def test_a_server_that_answers_something_else_is_an_error(
    arm: Served, change: dict[str, Any], error: type[Exception], match: str
) -> None:
    from foreign_bundles import arm as body

    with (
        answering(change) as port,
        connect_policy(f"xpolicylab://127.0.0.1:{port}", arm.contract) as policy,
        policy.open(body(), "find a mug") as session,
        pytest.raises(error, match=match),
    ):
        session.act(seen())
