"""Policies by address: a bundle in this process and a server are one protocol; another bundle is another policy."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from bundles import tiny_body, tiny_observation, write_tiny_bundle
from servers import serving

from evaluation.plans.plan import PolicyEntry
from evaluation.policies import PlanPolicy, open_entry
from evaluation.runner import run_episode
from policy_server.errors import BundleChanged, BundleError, PolicyError, WireError
from policy_server.policies import open_policy
from robots.fakes.kinematic import FakeOptions, FakeRobot

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("policies") / "one"
    write_tiny_bundle(folder, script=("move_ahead", "done"))
    return folder


def test_a_folder_and_a_server_are_the_same_policy(bundle: Path) -> None:
    with serving(bundle) as url, open_policy(bundle, threads=1) as here, open_policy(url) as there:
        assert here.describe() == there.describe()
        assert len(here.describe().bundle_sha256) == 64
        decisions = []
        for policy in (here, there):
            policy.ping(5.0)
            with policy.open(tiny_body(), "find a mug", sampling="sample", seed=3) as session:
                assert session.binding.policy == policy.describe().spec
                first = session.act(tiny_observation())
                decisions.append([first.name, session.act(tiny_observation(), first.name).name])
        assert decisions[0] == decisions[1]


def test_an_episode_runs_on_a_robot_with_either(bundle: Path) -> None:
    robot = FakeRobot(FakeOptions(real_time=False))
    with serving(bundle) as url, robot:
        for address in (str(bundle), url):
            with open_policy(address, timeout_s=20.0) as policy:
                end = run_episode(robot, policy, "find a mug")
            assert (end.reason, end.steps) == ("done", 2)


def test_the_example_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "policy_server.md").read_text(encoding="utf-8")
    example = next(code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "run_episode" in code)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(tmp_path / "example.py"))
    assert capsys.readouterr().out in ("max_steps 5\n", "done 5\n")


def test_a_server_that_serves_another_bundle_than_before_is_another_policy(bundle: Path, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, script=("done",))
    with serving(bundle) as url:
        opened = open_entry(PolicyEntry("tiny", server=url))
    with serving(tmp_path, port=int(url.rpartition(":")[2])), opened.policy as policy:
        with pytest.raises(BundleChanged) as changed:
            policy.open(tiny_body(), "find a mug")
        assert changed.value.code == "bundle_changed"
        now = PlanPolicy.of(opened.entry, policy)
        assert now.identity.bundle_sha256 != opened.identity.bundle_sha256
        policy.open(tiny_body(), "find a mug").close()


def test_an_address_that_is_neither_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as unknown:
        open_policy("carrier-pigeon://loft")
    assert unknown.value.code == "address"
    with pytest.raises(BundleError):
        open_policy(tmp_path / "nothing")


def test_a_sampling_that_nobody_knows_is_refused(bundle: Path) -> None:
    with open_policy(bundle, threads=1) as policy, pytest.raises(WireError):
        policy.open(tiny_body(), "find a mug", sampling="lucky")
