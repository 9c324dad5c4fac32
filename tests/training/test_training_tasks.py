"""Any task on any body: what is drawn, shown, played and measured beyond ObjectNav on the Stretch."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_policies import TINY, tiny_policy, write_run

from robots.embodiments.locobot import LOCOBOT
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.errors import EpisodeError
from simulation.task_registry import task
from training.closed_loop.evaluate import EvaluateOptions, Evaluator, check, evaluation_episodes, result_file, summarise
from training.closed_loop.rollout import ActiveEpisode
from training.data.demonstration import training_episodes
from training.data.shards import load_shards, shard_path, write_metadata
from training.export.bundle import trained_for
from training.imitation.bc import BcOptions
from training.imitation.bc import Trainer as BcTrainer
from training.imitation.collect import CollectOptions, Collector
from training.models import config
from training.rl.options import RolloutOptions
from training.rl.reward import RewardOptions
from training.rl.rollout import RolloutJob, RolloutWorker
from training.runtime.checkpoint import policy_payload, save
from training.runtime.weights import arrays

MIXTURE = ("object_nav", "room_visit", "object_nav_rel_attr")
ON_LOCOBOT = {SPOC_ACTIONS.index(name) for name in LOCOBOT.actions}


def quiet(steps: int) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("run"), shards=1, episodes=1)
    save(run / "bc" / "best.pt", "policy", policy_payload(tiny_policy(1)))
    return run


def test_a_mixture_draws_each_task_as_often_however_rare_its_houses_are() -> None:
    drawn = islice(training_episodes(np.random.default_rng(0), tasks=MIXTURE, max_steps=150), 45)
    counts = Counter(episode.task for episode in drawn)
    assert set(counts) == set(MIXTURE)
    assert min(counts.values()) >= 9  # of 15; half of the houses have no ObjNavRelAttr


def test_the_locobots_demonstrations_use_its_own_actions(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.PRESETS, "tiny", TINY)  # type: ignore[arg-type]
    folder, tasks = run / "on_locobot", ("object_nav", "room_nav")
    Collector(CollectOptions(run, "tiny", name=folder.name, shard=2, task=tasks, body="locobot"), TINY)(0, quiet)
    write_metadata(folder, {"task": list(tasks), "body": "locobot"})
    episodes = load_shards([shard_path(folder, 0)])
    assert len(episodes) == 2
    assert set(episodes.labels.tolist()) <= ON_LOCOBOT
    clone = BcTrainer(BcOptions(run, data=("data", "on_locobot"), size="tiny"), episodes, episodes)
    assert clone.payload()["tasks"] == ["object_nav", "room_nav"]
    assert trained_for(clone.payload()) == (("object_nav", "room_nav"), "stretch_re1")


def test_data_that_does_not_say_its_task_is_objectnav_on_the_stretch(tmp_path: Path) -> None:
    write_metadata(tmp_path, {"seed": 0})
    write_metadata(tmp_path, {"seed": 0, "task": ["object_nav"], "body": "stretch_re1"})
    with pytest.raises(Exception, match=r"got body 'stretch_re1', expected 'locobot'; use another folder"):
        write_metadata(tmp_path, {"seed": 0, "task": ["object_nav"], "body": "locobot"})


def test_ppo_on_the_locobot_plays_the_actions_it_has(run: Path) -> None:
    play = RolloutOptions(max_steps=6, slots=2, bf16=False, body="locobot", task=("object_nav", "room_nav"))
    weights = arrays(tiny_policy(1).state_dict())
    played = RolloutWorker(TINY, weights, play, RewardOptions())(RolloutJob((1, 2), 6, weights), quiet)
    taken = [action for one in played for action in one.actions.tolist()]
    assert len(played) == 6
    assert set(taken) <= ON_LOCOBOT
    assert {SPOC_ACTIONS.index(name) for name in ("move_arm_up", "move_arm_down")} & set(taken)  # its camera's slots
    assert all(np.isfinite(one.log_p).all() for one in played)


def test_an_instruction_is_read_alike_whatever_was_played_before(run: Path) -> None:
    """RoomVisit's has more words than ObjectNav's, and a slot keeps its memory."""
    long = task("room_visit").sample(1, max_steps=3)
    short = task("object_nav").sample(1, max_steps=3)
    seen: list[np.ndarray] = []

    def decide(slot: ActiveEpisode, logits: np.ndarray) -> str:
        seen.append(logits)
        return "rotate_left"

    evaluator = Evaluator(options(run, slots=1, max_steps=3), "greedy")
    assert len(list(evaluator.rollout.run([short, long, short], decide))) == 3
    assert np.array_equal(seen[:3], seen[6:])


def options(run: Path, **changes: Any) -> EvaluateOptions:
    return EvaluateOptions(run / "bc" / "best.pt", **{"episodes": 2, "max_steps": 60, "slots": 2, **changes})


def test_tasks_take_turns_and_the_expert_solves_them_on_the_locobot(run: Path) -> None:
    chosen = options(run, task=("object_nav", "room_nav"), body="locobot", episodes=4)
    result = summarise(Evaluator(chosen, "expert")(range(4), quiet), chosen, "expert")
    assert result["simulated"]["body"] == "locobot"
    assert result["simulated"]["success"] == 1.0
    assert set(result["by_task"]) == {"object_nav", "room_nav"}


def test_episodes_on_the_locobot_are_drawn_for_its_eye_and_measured_with_its_twin(run: Path) -> None:
    mine, stretch = (
        dict(evaluation_episodes(options(run, body=body), range(2))) for body in ("locobot", "stretch_re1")
    )
    assert mine.keys() == stretch.keys()
    assert any(mine[i] != stretch[i] for i in mine)


def test_a_results_file_says_what_is_not_usual(run: Path) -> None:
    names = [
        result_file(options(run, **changes), "greedy")
        for changes in (
            {},
            {"contact": "slide"},
            {"task": ("fetch",)},
            {"task": ("room_nav",), "body": "locobot"},
            {"first": 200},
        )
    ]
    assert names == [
        "val_greedy.json",
        "val_greedy_slide.json",
        "fetch_val_greedy.json",
        "room_nav_val_greedy_locobot.json",
        "val_greedy_from_200.json",
    ]


def test_a_body_without_an_arm_is_not_sent_to_fetch(run: Path) -> None:
    with pytest.raises(EpisodeError, match="task 'fetch' on locobot"):
        check(options(run, task=("object_nav", "fetch"), body="locobot"))
    with pytest.raises(EpisodeError, match="task 'swim', expected one of object_nav, pick_up"):
        check(options(run, task=("swim",)))
