"""Somebody else's ONNX graph, made a bundle by hand, drives the Piper's twin: in this process and over HTTP."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from servers import serving
from vision_bundles import ROWS, vision_graph

from evaluation.runner import Runner
from evaluation.step import RunEnd, Step
from policy_server.authoring.main import main as make
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.onnx_policy import OnnxPolicy
from policy_server.policy import PolicySession
from robots.command import Chunk
from simulation.tabletop.piper_twin import PiperTwin, PiperTwinOptions

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

PAGE = (Path(__file__).parents[2] / "docs" / "policy_server.md").read_text(encoding="utf-8")
LIFT_M, DECISIONS, EXECUTED = 0.01, 3, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that the page's ten lines write."""
    example = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "write_bundle" in code)
    path: Path = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        Path("model.onnx").write_bytes(vision_graph(120, 160, lift=LIFT_M))
        Path("example.py").write_text(example)
        runpy.run_path("example.py")
    return path / "my_policy"


def test_the_command_line_makes_the_same_policy_of_the_pages_yaml(folder: Path, tmp_path: Path) -> None:
    (keys,) = (code for code in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "inputs:" in code)
    (tmp_path / "my_policy.yaml").write_text(keys)
    output = tmp_path / "made"
    assert make([str(folder.parent / "model.onnx"), str(tmp_path / "my_policy.yaml"), "--output", str(output)]) == 0
    made, written = PolicyBundle.load(output).manifest, PolicyBundle.load(folder).manifest
    assert (made.spec, made.inputs, made.output) == (written.spec, written.inputs, written.output)


class Steps:
    """Keeps the steps of a run."""

    def __init__(self) -> None:
        self.taken: list[Step] = []

    def on_start(self) -> None:
        pass

    def on_step(self, step: Step) -> None:
        self.taken.append(step)

    def on_end(self, end: RunEnd) -> None:
        pass


@pytest.fixture
def twin() -> Iterator[PiperTwin]:
    with PiperTwin(PiperTwinOptions(height=240, width=320)) as made:
        yield made


def check_drive(twin: PiperTwin, session: PolicySession) -> None:
    """Drives `DECISIONS` decisions and asserts that the gripper rose by the rows executed of each, and by no more."""
    before = twin.observe().state["tip"]
    steps = Steps()
    runner = Runner(twin, session, max_steps=DECISIONS, subscribers=[steps], clock=lambda: 0)
    end = runner.run()
    assert (end.reason, end.steps) == ("max_steps", DECISIONS)
    for step in steps.taken:
        assert step.decision.chunk is not None
        assert step.decision.chunk.shape == (ROWS, 7)  # all of it is recorded
        assert isinstance(step.sent.command, Chunk)
        assert len(step.sent.command.rows) == EXECUTED
        assert step.sent.executed, step.sent
    rise_m = float((twin.observe().state["tip"] - before)[2])
    assert rise_m == pytest.approx(DECISIONS * EXECUTED * LIFT_M, abs=0.004)


def test_it_drives_in_this_process(folder: Path, twin: PiperTwin) -> None:
    check_drive(twin, OnnxPolicy(PolicyBundle.load(folder, threads=1)).open(twin.spec, ""))


def test_it_drives_through_the_server(folder: Path, twin: PiperTwin) -> None:
    with serving(folder) as url, PolicyClient(url, timeout_s=20) as client, client.open(twin.spec, "") as session:
        check_drive(twin, session)


def test_what_it_sees_decides(folder: Path, twin: PiperTwin) -> None:
    episode = OnnxPolicy(PolicyBundle.load(folder, threads=1)).open(twin.spec, "")
    seen = twin.observe()
    dark = {name: np.zeros_like(image) for name, image in seen.images.items()}
    bright = {name: np.full_like(image, 255) for name, image in seen.images.items()}
    first, second = (episode.act(type(seen)(1, images, seen.state)).chunk for images in (dark, bright))
    assert first is not None
    assert second is not None
    assert not np.array_equal(first[:, 1], second[:, 1])
