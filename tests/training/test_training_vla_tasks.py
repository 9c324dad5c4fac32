"""Several tasks at once: balanced demonstrations, groups that go round, success of each task, perturbed suites."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pool_here import without_processes
from reach_world import ReachTasks, demonstrations
from vla_policies import SMALL, grpo_options, sft_options, small_policy, write_policy

from training.errors import ConfigError, DataError
from training.runtime.checkpoint import load
from training.vla.evaluate import EvaluateVlaOptions, evaluate, table
from training.vla.grpo.grpo import Trainer
from training.vla.policy import config
from training.vla.policy.checkpoint import KIND
from training.vla.rollout.held_out import by_task
from training.vla.rollout.task_options import TaskOptions
from training.vla.sft import sft
from training.vla.sft.data import SftData, epoch_order, read_demonstrations

BOTH = ("red", "blue")


def test_tasks_take_turns_however_long_their_demonstrations_are() -> None:
    tasks = np.repeat([0, 1, 2], [20, 5, 11])
    order = epoch_order(np.random.default_rng(0), tasks, balanced=True)
    assert tasks[order].tolist() == [0, 1, 2] * 12
    assert len(set(order[0::3])) == 12  # no step of the longest twice
    assert sorted(np.bincount(order[1::3] - 20)) == [2, 2, 2, 3, 3]  # each of the shortest again and again
    again, other = (epoch_order(np.random.default_rng(seed), tasks, balanced=True) for seed in (0, 1))
    assert np.array_equal(order, again)
    assert not np.array_equal(order, other)
    assert sorted(epoch_order(np.random.default_rng(0), tasks)) == list(range(36))
    of_one = np.zeros(9, int)
    orders = [epoch_order(np.random.default_rng(0), of_one, balanced) for balanced in (False, True)]
    assert np.array_equal(*orders)


def test_steps_know_their_task_and_only_some_tasks_are_read(tmp_path: Path) -> None:
    for number, one in enumerate(demonstrations(4, BOTH)):
        one.save(tmp_path / f"{number}.npz")
    every, blue = read_demonstrations([tmp_path]), read_demonstrations([tmp_path], tasks=(1,))
    data = SftData.of(every, small_policy())
    assert data.tasks.tolist() == [one.index for one in every for _ in one.actions]
    assert [one.index for one in blue] == [1, 1]
    assert len(read_demonstrations([tmp_path], each=1, tasks=(0, 1))) == 2
    with pytest.raises(DataError, match=r"tasks \[2, 7\]: got none"):
        read_demonstrations([tmp_path], tasks=(0, 2, 7))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a policy that imitates demonstrations of two tasks, not well."""
    folder = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config.SIZES, "small", SMALL)  # type: ignore[arg-type]
        sft.Trainer(sft_options(folder, updates=40), demonstrations(8, BOTH)).run()
    return folder


def test_grpo_of_two_tasks_plays_both_and_tells_the_success_of_each(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_processes(monkeypatch, "training.vla.rollout.pool")
    sizes: dict[str, Any] = {"groups": 4, "steps": 1, "max_tries": 3, "evaluate_every": 1, "evaluate_states": 10}
    made = Trainer(grpo_options(run, **sizes), lambda size: ReachTasks(BOTH))
    made.run()
    before, after = load(made.last, KIND)["evaluations"]
    assert (before["step"], after["step"]) == (0, 1)
    assert set(after["tasks"]) == {"reach_red", "reach_blue"}
    assert [states for _, states in after["tasks"].values()] == [5, 5]
    assert sum(solved for solved, _ in after["tasks"].values()) == round(after["success"] * 10)
    assert "reach_red" in capsys.readouterr().err


def test_each_task_is_counted() -> None:
    assert by_task([True, False, True, True, False], ("a", "b")) == {"a": (2, 3), "b": (1, 2)}
    assert by_task([True], ("a", "b")) == {"a": (1, 1), "b": (0, 0)}


def reach(options: TaskOptions, size: int) -> ReachTasks:
    """The toy as a suite; where it is perturbed, the blue blob is asked for."""
    return ReachTasks(BOTH if options.suite == "reach" else ("blue",))


def test_a_suite_and_its_perturbations_are_measured_on_the_same_states_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_processes(monkeypatch, "training.vla.rollout.pool")
    path = write_policy(tmp_path, small_policy(1))
    options = EvaluateVlaOptions(
        checkpoint=path, tasks=TaskOptions("reach"), perturb=("swap", "x0.3"), states=6, workers=1
    )
    plain, swapped, shifted = results = evaluate(options, reach)
    assert [one.suite for one in results] == ["reach", "reach_swap", "reach_temp_x0.3"]
    assert [one.states for one in results] == [6, 6, 6]
    assert list(plain.tasks) == ["reach_red", "reach_blue"]
    assert swapped.outcomes == shifted.outcomes  # the same states of the same task
    assert plain.low <= plain.success <= plain.high
    written = json.loads(options.file.read_text())
    assert [one["outcomes"] for one in written["suites"]] == [list(one.outcomes) for one in results]
    assert (written["states_seed"], written["rows"]) == (21, 8)
    text = table(results)
    assert "| reach_swap | swap: objects have exchanged places |" in text
    assert text.count("\n") == 1 + 3 + 2  # a row for each suite, and for each of the tasks where there are two
    assert evaluate(replace(options, perturb=()), reach)[0].outcomes == plain.outcomes
    for wrong in ({"states": 0}, {"rows": 9}):
        with pytest.raises(ConfigError, match="states, rows"):
            evaluate(replace(options, **wrong), reach)


def test_all_means_the_four_that_every_suite_has() -> None:
    assert EvaluateVlaOptions(perturb=("all",)).kinds == ("", "swap", "object", "lan", "task")
    assert EvaluateVlaOptions().kinds == ("",)
