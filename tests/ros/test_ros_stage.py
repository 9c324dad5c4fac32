"""`ferry evaluate --robot ros`: the twin behind a robot node, driven by a policy node, judged and recorded."""

from __future__ import annotations

from pathlib import Path

import yaml
from bundles import write_tiny_bundle
from ros_graph import Graph, NodeProcess, graph, wait_until
from servers import ferry_serve

from evaluation.episode import Episode
from evaluation.trial import Outcome

SEED = 20_000_000  # the first house of the test split


def evaluate(here: Graph, plan: Path, output: Path, url: str, log: Path) -> NodeProcess:
    return NodeProcess("trial_node", log, here.namespace, before=[str(plan), "--output", str(output), "--server", url])


def write_plan(folder: Path, bundle: Path, **changes: object) -> Path:
    policies = [{"name": name, "bundle": str(bundle), "sampling": name} for name in ("greedy", "uniform")]
    plan = {"name": "over ROS", "robot": "ros", "policies": policies, "houses": {"seeds": [SEED]}, "max_steps": 4}
    (folder / "plan.yaml").write_text(yaml.safe_dump({**plan, **changes}))
    return folder / "plan.yaml"


def test_a_plan_is_played_over_ros_by_the_policy_node(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    write_tiny_bundle(bundle, script=("rotate_left", "move_ahead", "done"), control_period_s=5.0)
    with graph(tmp_path) as here, ferry_serve(bundle) as (url, _):
        here.robot(robot="stretch_re1_twin", control_period_s=2.0, publish_rate_hz=2.0)
        here.policy(url)
        here.ready(60.0)
        trials = evaluate(here, write_plan(tmp_path, bundle), tmp_path / "run", url, tmp_path / "trials.log")
        assert trials.process.wait(100) == 0, trials.text()
        episodes = [Episode.read(one) for one in sorted((tmp_path / "run" / "trials").iterdir())]
        played = {one.trial.policy: one for one in episodes}
        greedy = played["greedy"]
        assert [step.action for step in greedy.steps] == ["rotate_left", "move_ahead", "done"]
        assert (greedy.end, greedy.robot, greedy.embodiment) == ("done", "ros", "stretch_re1")
        assert greedy.outcome is Outcome.FAILURE
        assert greedy.scene is not None
        assert greedy.scene.instruction
        assert len(greedy.path) >= 2
        assert greedy.bundle_sha256
        assert (tmp_path / "run" / "trials" / greedy.trial.id / "video.webm").stat().st_size > 1000
        assert played["uniform"].metrics.steps in range(1, 5)
        wait_until(lambda: here.watcher.heard("policy_node", "trial ended: done"))
