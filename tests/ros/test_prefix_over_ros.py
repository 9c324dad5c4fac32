"""The frozen prefix over DDS: policy_node tells the policy what runs, its recording holds it, and replay feeds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
pytest.importorskip("mcap", reason="the extra `record` is not installed")

from fake_arm import fake_arm, joints
from mcap_file import with_decisions
from prefix_bundles import SLOPE, write_prefix_bundle
from ros_graph import graph, wait_until
from servers import ferry_serve

from evaluation.errors import RecordError
from evaluation.recordings.recording import Recording
from evaluation.recordings.replay import replay_file
from evaluation.recordings.replay_main import main as replay_main
from evaluation.step import Step
from robots.embodiments.ros2_control_arms import UR5E

pytestmark = pytest.mark.slow

PAN, STEPS = "shoulder_pan_joint", 8
ARM = {"arm.cartesian": False, "arm.camera_topic": "", "arm.stale_s": 0.6, "control_period_s": 4.0}


@dataclass(frozen=True)
class Recorded:
    """What one trial left behind: its file, and the bundle that was served."""

    file: Path
    bundle: Path

    @property
    def steps(self) -> tuple[Step, ...]:
        return Recording.read(self.file).steps


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """One trial of an arm behind ros2_control whose policy takes a prefix."""
    folder = tmp_path_factory.mktemp("prefix")
    vector = next(chunk for chunk in UR5E.embodiment((), True, False, 0.0).chunks if PAN in chunk.names)
    with fake_arm(folder) as fake, graph(folder) as here:
        with fake.robot(cartesian=False) as robot:
            start = joints(robot)
        home = np.array([start[name] for name in vector.names], np.float32)
        write_prefix_bundle(folder / "bundle", vector=vector, home=home)
        with ferry_serve(folder / "bundle") as (url, _):
            arm = {"robot": "ros2_control_arm", "publish_rate_hz": 20.0, "arm.namespace": fake.namespace, **ARM}
            robot_node = here.robot(**arm)
            wait_until(lambda: here.watcher.stamps_ns, 60.0, robot_node)
            recorder = here.recorder(folder=str(folder / "recordings"))
            policy = here.policy(url, max_steps=STEPS)
            wait_until(lambda: here.watcher.heard("policy_node", "active"), 60.0, policy)
            end = json.loads(here.watcher.call("policy_node/run_trial", timeout_s=60.0).message)
            wait_until(lambda: "recorded " in recorder.text())
    if end["reason"] == "late":
        pytest.skip(f"the machine is too busy: {end['message']}")
    assert (end["reason"], end["steps"]) == ("max_steps", STEPS), end
    (file,) = folder.glob("recordings/**/*.mcap")
    return Recorded(file, folder / "bundle")


def test_the_recording_has_the_frozen_rows_with_which_the_answers_begin(recorded: Recorded) -> None:
    steps = recorded.steps
    assert steps[0].frozen is None, "nothing runs when the episode begins"
    prefixed = [(step.frozen, step.decision.chunk) for step in steps if step.frozen is not None]
    assert prefixed
    for frozen, chunk in prefixed:
        assert chunk is not None
        np.testing.assert_array_equal(chunk[: len(frozen)], frozen)
        np.testing.assert_allclose(chunk[len(frozen), 0] - frozen[-1, 0], SLOPE, atol=1e-6)


def test_it_replays_bit_for_bit(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_main([str(recorded.file), "--bundle", str(recorded.bundle)]) == 0
    assert f"{STEPS} decisions reproduced bit for bit" in capsys.readouterr().out


def test_another_prefix_is_found_at_its_step(recorded: Recorded, tmp_path: Path) -> None:
    last = [step.decision.step for step in recorded.steps if step.frozen is not None][-1]

    def moved(values: dict[str, str]) -> None:
        if values["step"] == str(last):
            values["frozen"] = json.dumps((np.array(json.loads(values["frozen"])) + 0.001).tolist())

    result = replay_file(with_decisions(recorded.file, tmp_path / "moved.mcap", moved), recorded.bundle, None, {})
    assert result.difference is not None
    assert (result.difference.step, result.difference.tensor) == (last, "chunk")


def test_rows_that_are_none_of_the_policys_end_the_replay_there(recorded: Recorded, tmp_path: Path) -> None:
    def wrong(values: dict[str, str]) -> None:
        values["frozen"] = "[1.0, 2.0]"

    result = replay_file(with_decisions(recorded.file, tmp_path / "wrong.mcap", wrong), recorded.bundle, None, {})
    assert result.difference is not None
    assert (result.difference.step, result.difference.is_input) == (0, False)
    assert "prefix" in str(result.difference)


def test_a_recording_made_before_they_were_kept_is_refused(recorded: Recorded, tmp_path: Path) -> None:
    old = with_decisions(recorded.file, tmp_path / "old.mcap", lambda values: values.pop("frozen"))
    with pytest.raises(RecordError, match="frozen rows"):
        replay_file(old, recorded.bundle, None, {})
