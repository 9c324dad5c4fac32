"""Episodes of the twins behind ROS: of any task, on any simulated body."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ferry_ros import episodes
from ferry_ros.ros_stage import RosStage
from ros_graph import graph

from evaluation.step import RunEnd
from evaluation.trial import Outcome, Trial
from robots.command import Done
from simulation.episode import EpisodeError, EpisodeSpec
from simulation.seeds import house_seed
from simulation.twins import make_twin

SEED = house_seed("test", 0)


def test_a_twin_begins_an_episode_of_a_task_or_the_one_that_is_given() -> None:
    twin: Any = make_twin("stretch_re1")
    begun = episodes.begin(twin, "", SEED, "pick_up")
    assert begun["task"] == twin.episode.task == "pick_up"
    given = {**begun, "seed": 5, "instruction": "take it"}
    assert episodes.begin(twin, json.dumps(given), 0) == given == twin.episode.to_json()
    assert episodes.judge(twin)["target_held"] is False
    assert episodes.begin(twin, "", SEED)["task"] == "object_nav"
    with pytest.raises(EpisodeError, match="task 'pick_up' on locobot"):
        episodes.begin(make_twin("locobot"), json.dumps(given), 0)


def test_a_visit_is_played_on_the_locobot_over_ros(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(robot="locobot_twin", control_period_s=2.0, publish_rate_hz=2.0, task="room_nav", house_seed=SEED)
        begun = EpisodeSpec.from_json(json.loads(here.watcher.call("reset").message))
        assert (begun.task, begun.house_seed) == ("room_nav", SEED)
        with RosStage(here.namespace) as stage:
            trial = Trial(0, 0, "room_visit", "nobody", 3, 50, house_seed=SEED)
            scene = stage.begin(trial)
            assert scene.episode["task"] == "room_visit"
            assert scene.expert_steps
            stage.robot.observe()
            assert stage.robot.execute(Done(subgoal=True)).executed
            verdict = stage.verdict(RunEnd("done", "", 2))
    assert verdict.outcome is Outcome.FAILURE
    assert (verdict.rooms_visited, verdict.target_distance_m) == (1, None)
    assert verdict.rooms is not None
    assert verdict.rooms > 1
