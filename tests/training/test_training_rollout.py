"""Episodes in the simulator: collected, driven by a clone, and measured; each stage once, as small as it goes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_policies import TINY, tiny_policy, write_run

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.houses.seeds import house_seed
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import TwinOptions
from training.closed_loop.evaluate import (
    EvaluateOptions,
    Evaluator,
    check,
    evaluation_episodes,
    main,
    outcome,
    summarise,
    table,
    wilson,
)
from training.closed_loop.rollout import ActiveEpisode, Rollout
from training.data.shards import load_shards, shard_path
from training.errors import ConfigError
from training.imitation.collect import CollectOptions, Collector
from training.imitation.dagger import PATIENCE, DaggerCollector, DaggerOptions
from training.models import config
from training.runtime.checkpoint import policy_payload, save

STEPS = 60


def quiet(steps: int) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("run"), shards=1, episodes=1)
    save(run / "bc" / "best.pt", "policy", policy_payload(tiny_policy(1)))
    return run


def options(run: Path, **changes: Any) -> EvaluateOptions:
    return EvaluateOptions(run / "bc" / "best.pt", **{"episodes": 2, "max_steps": STEPS, "slots": 2, **changes})


def test_collection_writes_what_the_expert_says(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(config.PRESETS, "tiny", TINY)  # type: ignore[arg-type]
    (tmp_path / "encoder.pt").write_bytes((run / "encoder.pt").read_bytes())
    collector = Collector(CollectOptions(tmp_path, "tiny", shard=2, workers=1, seed=3), TINY)
    report = collector(0, quiet)
    first = shard_path(tmp_path / "data", 0).read_bytes()
    episodes = load_shards([shard_path(tmp_path / "data", 0)])
    assert (report.episodes, report.steps) == (2, len(episodes.labels))
    assert episodes.features.shape[1:] == (2, 4, 86)
    ends = episodes.starts + episodes.lengths - 1
    assert [SPOC_ACTIONS.names[label] for label in episodes.labels[ends]] == ["done", "done"]
    assert episodes.previous[episodes.starts].tolist() == [TINY.tokens.start, TINY.tokens.start]
    assert set(episodes.previous.tolist()) <= {*range(20), TINY.tokens.start, TINY.tokens.blocked}
    collector(0, quiet)  # a shard depends on its number and the seed alone
    assert shard_path(tmp_path / "data", 0).read_bytes() == first


def test_a_rollout_plays_every_episode_once(run: Path) -> None:
    episodes = [sample_episode(house_seed("val", 0), seed, max_steps=STEPS) for seed in range(3)]
    rollout = Rollout(tiny_policy(), 2, TwinOptions(height=28, width=48), 6)
    script = {0: ["move_ahead", "rotate_left", "done"]}

    def decide(slot: ActiveEpisode, logits: np.ndarray) -> str:
        assert logits.shape == (20,)
        actions = script.get(slot.record.episode.seed, ["rotate_right"] * 9)
        return actions[slot.steps]

    ended = {}
    for slot in rollout.run(episodes, decide, keep=True):
        ended[slot.record.episode.seed] = (slot.ended, slot.steps, len(slot.record.features), slot.actions[-1])
    rollout.close()
    assert ended == {
        0: ("done", 3, 3, "done"),
        1: ("steps", 6, 6, "rotate_right"),
        2: ("steps", 6, 6, "rotate_right"),
    }


def test_the_policy_gets_what_was_executed() -> None:
    episode = sample_episode(house_seed("val", 0), max_steps=STEPS)
    rollout = Rollout(tiny_policy(), 1, TwinOptions(height=28, width=48), 40)
    inputs: list[tuple[int, int]] = []

    def decide(slot: ActiveEpisode, logits: np.ndarray) -> str:
        assert slot.policy_input is not None
        inputs.append((slot.policy_input.previous_action, slot.record.collisions))
        return "move_ahead"  # until something is in the way

    (slot,) = rollout.run([episode], decide)
    rollout.close()
    assert inputs[0] == (TINY.tokens.start, 0)
    assert slot.record.collisions > 0
    for (_, before), (previous, after) in itertools.pairwise(inputs):
        assert previous == (TINY.tokens.blocked if after > before else SPOC_ACTIONS.index("move_ahead"))


def test_dagger_labels_every_step_with_the_experts_action(run: Path) -> None:
    dagger = DaggerOptions(run, shard=2, max_steps=12, workers=1, slots=2, expert_share=0.5)
    assert dagger.clone == run / "bc" / "best.pt"
    report = DaggerCollector(dagger)(0, quiet)
    episodes = load_shards([shard_path(run / "dagger", 0)])
    assert report.episodes == 2
    assert report.steps == len(episodes.labels) == episodes.lengths.sum() == len(episodes.features)
    assert episodes.lengths.max() <= 12
    assert PATIENCE < 12
    moves = {SPOC_ACTIONS.names[label] for label in episodes.labels.tolist()}
    assert moves <= {"move_ahead", "move_back", "rotate_left", "rotate_right", "rotate_left_small",
                     "rotate_right_small", "done"}  # fmt: skip


@pytest.fixture(scope="module")
def expert(run: Path) -> dict[str, Any]:
    chosen = options(run)
    return summarise(Evaluator(chosen, "expert")(range(2), quiet), chosen, "expert")


def test_the_expert_solves_what_it_is_given(expert: dict[str, Any]) -> None:
    assert expert["simulated"]["success"] == 1.0
    assert expert["simulated"]["sampling"] == "expert"
    assert expert["sel"] > 0.7
    assert expert["done_rate"] == 1.0
    assert len(expert["episodes"]) + expert["left_out"] == 2


def test_a_random_policy_is_worse_than_the_expert(run: Path, expert: dict[str, Any]) -> None:
    chosen = options(run)
    result = summarise(Evaluator(chosen, "uniform")(range(2), quiet), chosen, "uniform")
    assert result["simulated"]["success"] <= expert["simulated"]["success"]
    assert result["sel"] < expert["sel"]
    assert all(one["steps"] <= STEPS for one in result["episodes"])


def test_the_verb_writes_what_export_reads(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--checkpoint", str(run / "bc" / "best.pt"), "--episodes", "1", "--max-steps", "60", "--workers", "1"]
    assert main([*words, "--sampling", "greedy", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "val_greedy.json").read_text())
    assert set(result["simulated"]) == {
        "task", "split", "episodes", "success", "low", "high", "sampling", "body",
    }  # fmt: skip
    assert result["simulated"]["episodes"] == len(result["episodes"]) == 1
    assert "object_nav, stretch_re1, val, greedy" in capsys.readouterr().out


def test_the_same_houses_are_drawn_again(run: Path) -> None:
    one, again = (list(evaluation_episodes(options(run), range(2))) for _ in range(2))
    assert one == again
    assert [episode.house_seed for _, episode in one] == [house_seed("val", i) for i, _ in one]
    assert all(episode.expert_steps and episode.expert_steps > 0 for _, episode in one)
    (later,) = evaluation_episodes(options(run, first=1), range(1))
    assert later[1].house_seed == house_seed("val", 1)


def test_options_that_make_no_sense_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="max_steps: got 61"):
        check(options(run, max_steps=61))
    with pytest.raises(ConfigError, match="sampling: got 'best'"):
        check(options(run, sampling=("best",)))


def fake(index: int, success: bool, target: str = "mug") -> dict[str, Any]:
    return {
        "index": index, "task": "object_nav", "target": target, "rooms": 2, "success": success, "sel": float(success),
        "steps": 10, "collisions": 1, "ended": "done", "failed_share": 0.1, "rooms_visited": 1,
    }  # fmt: skip


def test_a_summary_counts_by_target_and_rooms(run: Path) -> None:
    outcomes = [fake(0, True), fake(1, False), fake(2, True, "bed")]
    result = summarise(outcomes, options(run, episodes=5), "greedy")
    assert result["by_target"] == {"bed": {"solved": 1, "episodes": 1}, "mug": {"solved": 1, "episodes": 2}}
    assert result["by_rooms"] == {"2": {"solved": 2, "episodes": 3}}
    assert result["left_out"] == 2
    assert result["simulated"]["success"] == pytest.approx(2 / 3)
    assert "66.7% [20.8%, 93.9%] of 3" in table(result)
    assert "10.0% of the actions failed, 50% of the rooms visited" in table(result)
    json.dumps(result)


def test_a_summary_of_nothing(run: Path) -> None:
    result = summarise([], options(run), "greedy")
    assert (result["simulated"]["low"], result["simulated"]["high"]) == (0.0, 1.0)


@pytest.mark.parametrize(("solved", "count", "expected"), [
    (5, 10, (0.2366, 0.7634)),
    (0, 20, (0.0, 0.1611)),
    (20, 20, (0.8389, 1.0)),
])  # fmt: skip
def test_wilson_intervals(solved: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson(solved, count) == pytest.approx(expected, abs=2e-4)


def test_outcomes_are_plain_values(run: Path) -> None:
    evaluator = Evaluator(options(run), "greedy")
    ((index, episode),) = evaluation_episodes(evaluator.options, range(1))
    (slot,) = evaluator.rollout.run([episode], evaluator._decide)
    one = outcome(slot, index)
    assert json.loads(json.dumps(one)) == one
    assert one["house"] == house_seed("val", 0)
