"""A trial that is ended before it runs, and a server that serves another bundle than the one configured."""

from __future__ import annotations

import json
from pathlib import Path

from bundles import write_tiny_bundle
from ferry_ros.driven_trial import Trial as RunningTrial
from ferry_ros.ros_stage import RosStage
from ros_graph import graph, wait_until
from scripted import ScriptedSession, WatchedFake
from servers import ferry_serve

from evaluation.plans.plan import PolicyEntry
from evaluation.plans.trial import Start, Trial
from evaluation.policies import open_entry
from evaluation.runner import Runner
from evaluation.stages.trial_setup import TrialSetup
from evaluation.step import RunEnd
from policy_server.swap import main as swap


def test_a_trial_that_was_ended_before_it_ran_moves_nothing() -> None:
    robot, trial = WatchedFake(), RunningTrial()
    robot.connect()
    trial.end("end_trial was called")
    end = trial.begin(Runner(robot, ScriptedSession(["move_ahead"]), max_steps=3))
    assert end == RunEnd("interrupted", "end_trial was called", 0)
    assert robot.commands == []


def test_a_trial_that_was_not_ended_runs() -> None:
    robot = WatchedFake()
    robot.connect()
    end = RunningTrial().begin(Runner(robot, ScriptedSession(["done"]), max_steps=3))
    assert (end.reason, end.steps) == ("done", 1)


def test_a_trial_is_of_the_bundle_that_is_served_when_it_begins(tmp_path: Path) -> None:
    for name, script in (("one", ("done",)), ("two", ("rotate_left", "done"))):
        write_tiny_bundle(tmp_path / name, script=script, control_period_s=5.0)
    with graph(tmp_path) as here, ferry_serve(tmp_path / "one") as (url, _):
        here.robot()
        here.policy(url)
        here.ready()
        before = open_entry(PolicyEntry("tiny", server=url))
        assert json.loads(here.watcher.call("policy_node/run_trial").message)["steps"] == 1
        assert swap([str(tmp_path / "two"), "--port", url.rpartition(":")[2]]) == 0
        assert json.loads(here.watcher.call("policy_node/run_trial").message)["steps"] == 2
        here.watcher.set("policy_node", bundle_sha256=before.info.bundle_sha256)  # an evaluation of the first one
        end = json.loads(here.watcher.call("policy_node/run_trial").message)
        assert (end["reason"], end["steps"]) == ("policy_failed", 0)
        before.policy.close()


def test_a_server_that_came_back_with_another_bundle_is_not_tried(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "one", script=("done",))
    write_tiny_bundle(tmp_path / "two", script=("move_ahead",), control_period_s=5.0)
    with graph(tmp_path) as here:
        here.robot()
        with ferry_serve(tmp_path / "one") as (url, _):
            policy = here.policy(url)
            here.ready()
        with ferry_serve(tmp_path / "two", "--port", url.rpartition(":")[2]) as (again, _):
            assert again == url
            answer = here.watcher.call("policy_node/run_trial")
            assert not answer.success
            end = json.loads(answer.message)
            assert (end["reason"], end["steps"]) == ("policy_failed", 0)
            assert end["message"].startswith("BundleChanged: ")
            wait_until(lambda: "trial ended: policy_failed" in policy.text())
            assert not here.watcher.results
            with RosStage(here.namespace) as stage:  # an evaluation configures it anew
                trial = Trial(0, 0, "object_nav", "tiny", 0, 2, start=Start("door", "find a mug", "mug"))
                policy = open_entry(PolicyEntry("tiny", server=url))
                policy.policy.close()  # the policy node asks the server
                end = stage.run(trial, TrialSetup("find a mug", "mug"), policy, [])
                assert (end.reason, end.steps) == ("max_steps", 2)
