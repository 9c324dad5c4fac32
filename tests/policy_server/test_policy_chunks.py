"""Policies that answer with chunks of continuous actions: bundle, server and client."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chunk_bundles import write_chunk_bundle
from servers import ferry_serve

from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient, check_decision
from policy_server.decision import Decision
from policy_server.errors import BundleError, NotFinite, OutOfRange, WireError
from policy_server.onnx_policy import OnnxPolicy
from robots.arms.action_chunks import cartesian_delta
from robots.binding import bind
from robots.command import Chunk
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import BindError
from robots.limits import limit
from robots.observation import Observation
from robots.spec import CameraInput, CameraSpec

VECTOR = cartesian_delta(0.05, 0.3)
CAMERA = CameraSpec("scene", 60, 80, 45.0)
ARM = Embodiment("arm", (CAMERA,), {}, {}, {}, chunks=(VECTOR,))
SCRIPT = np.zeros((2, 3, 7), np.float32)
SCRIPT[0, :, 0], SCRIPT[1, :, 0], SCRIPT[:, :, 6] = 0.01, -0.01, 1.0
SEEN = Observation(5, {"scene": np.zeros((60, 80, 3), np.uint8)})


def write(folder: Path, **changes: object) -> OnnxPolicy:
    write_chunk_bundle(folder, VECTOR, SCRIPT, cameras=[CameraInput("scene", 60, 80, 45.0)], **changes)  # type: ignore[arg-type]
    return OnnxPolicy(PolicyBundle.load(folder, threads=1))


def test_a_chunk_is_answered_step_by_step_and_becomes_one_command(tmp_path: Path) -> None:
    episode = write(tmp_path).open(ARM, "find a mug")
    for step in range(3):
        decision = episode.act(SEEN)
        assert (decision.action, decision.name, decision.probabilities) == (None, "", None)
        assert decision.chunk is not None
        np.testing.assert_array_equal(decision.chunk, SCRIPT[step % 2])
        command = episode.binding.chunk(decision.chunk)
        assert command == Chunk(VECTOR.names, tuple(map(tuple, SCRIPT[step % 2].tolist())), 0.1)


def test_a_chunk_travels_over_the_server(tmp_path: Path) -> None:
    write(tmp_path)
    with ferry_serve(tmp_path) as (url, _), PolicyClient(url) as client:
        with client.open(ARM, "find a mug") as session:
            first, second = session.act(SEEN), session.act(replace(SEEN, stamp_ns=9))
            assert first.chunk is not None
            assert second.chunk is not None
            np.testing.assert_array_equal(first.chunk, SCRIPT[0])
            np.testing.assert_array_equal(second.chunk, SCRIPT[1])
            assert (second.stamp_ns, second.step, second.valid_for_s) == (9, 1, 0.5)
        with pytest.raises(BindError, match="chunk of stretch_re1: got discrete actions only"):
            client.open(replace(STRETCH_RE1, cameras=(CAMERA,)), "find a mug")


def test_the_random_baseline_stays_within_the_bounds(tmp_path: Path) -> None:
    policy = write(tmp_path)
    chunks = [policy.open(ARM, "find a mug", sampling="uniform", seed=seed).act(SEEN).chunk for seed in (1, 1, 2)]
    assert all(chunk is not None and chunk.shape == (3, 7) for chunk in chunks)
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert not np.array_equal(chunks[0], chunks[2])
    for row in chunks[2]:
        VECTOR.check(row)


def test_nan_in_a_chunk_is_an_error_of_the_policy(tmp_path: Path) -> None:
    episode = write(tmp_path, nan_at_step=1).open(ARM, "find a mug")
    episode.act(SEEN)
    with pytest.raises(NotFinite, match="chunk 'delta_x': got nan"):
        episode.act(SEEN)
    assert episode.step == 1


def test_a_chunk_a_hair_beyond_its_range_is_answered_and_one_far_beyond_has_its_own_code(tmp_path: Path) -> None:
    script = SCRIPT.copy()
    script[0, :, 0], script[1, :, 0] = 0.0501, 0.09
    write_chunk_bundle(tmp_path, VECTOR, script, cameras=[CameraInput("scene", 60, 80, 45.0)])
    episode = OnnxPolicy(PolicyBundle.load(tmp_path, threads=1)).open(ARM, "find a mug")
    chunk = episode.act(SEEN).chunk
    assert chunk is not None
    sent = limit(episode.binding.chunk(chunk), ARM, {})
    assert (sent.refused, sent.clipped) == ("", ("delta_x",))
    with pytest.raises(OutOfRange, match=r"chunk 'delta_x': got 0.09.*, expected \[-0.05, 0.05\] at step 1"):
        episode.act(SEEN)


def test_an_executed_action_has_no_meaning(tmp_path: Path) -> None:
    episode = write(tmp_path).open(ARM, "find a mug")
    episode.act(SEEN)
    with pytest.raises(WireError, match="executed: got 'move_ahead'"):
        episode.act(SEEN, "move_ahead")


def test_a_graph_of_another_horizon_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    manifest = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('"horizon": 3', '"horizon": 4'))
    with pytest.raises(BundleError, match=r"outputs 'actions': got float32 \(1, 3, 7\)"):
        PolicyBundle.load(tmp_path)


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (
            Decision(5, 0, 1, "move_ahead", np.ones(1, np.float32), valid_for_s=0.5),
            "got action 'move_ahead', expected",
        ),
        (Decision(5, 0, chunk=np.full((1, 7), 9.0, np.float32), valid_for_s=0.5), "chunk 'delta_x': got 9.0, expected"),
        (Decision(5, 0, chunk=np.zeros((4, 7), np.float32), valid_for_s=0.5), "chunk: got 4 rows, expected 1 to 3"),
    ],
)
def test_the_client_checks_what_it_gets(tmp_path: Path, decision: Decision, error: str) -> None:
    spec = write(tmp_path).bundle.manifest.spec
    with pytest.raises(WireError, match=error):
        check_decision(decision, bind(spec, ARM), 5, 0)
