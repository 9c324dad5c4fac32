"""Run folders: they are gone on with, and never mixed up."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from episodes import POLICIES, episode_of, plan_of, run_folder

from evaluation.errors import FolderError, RecordError
from evaluation.plans.plan import PolicyEntry
from evaluation.plans.trial import Outcome
from evaluation.policies import PolicyIdentity
from evaluation.records.run_folder import RUN_FILE, RunFolder, git_commit
from evaluation.trial_runner import TrialRunnerOptions
from evaluation.workers import TrialWork

SUCCESS, FAILURE, ABORTED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.ABORTED


def test_a_new_folder_remembers_the_plan_and_the_policies(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "a" / "b", plan_of(), POLICIES)
    assert RunFolder.read(tmp_path / "a" / "b") == folder
    assert (folder.info.plan, folder.info.policies) == (plan_of(), POLICIES)
    assert folder.info.plan_sha256 == plan_of().sha256
    assert folder.left() == plan_of().trials()
    assert folder.episodes() == ()


def test_the_same_plan_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", {"mini": [SUCCESS, FAILURE, None, None], "random": [FAILURE, None, None, ABORTED]})
    again = RunFolder.open(tmp_path / "run", plan_of(), POLICIES)
    left = [(trial.block, trial.policy) for trial in again.left()]
    assert sorted(left) == [(1, "random"), (2, "mini"), (2, "random"), (3, "mini")]
    assert [one.trial.index for one in again.episodes()] == sorted(one.trial.index for one in again.episodes())


def test_what_was_cut_off_or_interrupted_is_done_again(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, plan_of(count=1), POLICIES)
    first, second = folder.info.plan.trials()
    episode_of(first, ABORTED, failure="cut off").write(folder.trial(first))
    episode_of(second, ABORTED, failure="interrupted").write(folder.trial(second))
    assert folder.left() == (first, second)


def test_other_aborted_trials_are_done_again_only_when_asked_for(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, {"mini": [SUCCESS, ABORTED], "random": [FAILURE, FAILURE]})
    assert folder.left() == ()
    assert [(one.block, one.policy) for one in folder.left(retry_aborted=True)] == [(1, "mini")]


def test_another_plan_in_the_folder_is_refused_by_what_differs(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, plan_of(), POLICIES)
    other = replace(plan_of(), seed=5, max_steps=9)
    with pytest.raises(FolderError, match="got plan 'test houses' with other seed, max_steps, expected plan 'test"):
        RunFolder.open(tmp_path, other, POLICIES)


def test_another_bundle_behind_the_name_is_refused(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, plan_of(), POLICIES)
    other = (replace(POLICIES[0], bundle_sha256="77" * 32), POLICIES[1])
    with pytest.raises(FolderError, match="policy 'mini': got bundle 777777777777"):
        RunFolder.open(tmp_path, plan_of(), other)


@pytest.mark.skipif(any(find_spec(name) is None for name in ("onnx", "onnxruntime")), reason="writes a bundle")
def test_a_process_or_node_with_another_bundle_at_that_path_plays_no_trial(tmp_path: Path) -> None:
    from bundles import write_tiny_bundle

    write_tiny_bundle(tmp_path / "bundle")
    plan = replace(plan_of(), policies=(PolicyEntry("tiny", bundle=str(tmp_path / "bundle")),), baseline="")
    then = PolicyIdentity("tiny", "greedy", str(tmp_path / "bundle"), "0" * 64)
    RunFolder.open(tmp_path / "run", plan, (then,))
    with pytest.raises(FolderError, match="as begun there"):
        TrialWork(plan, tmp_path / "run", TrialRunnerOptions())


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(FolderError, match="the folder contains other files"):
        RunFolder.open(tmp_path, plan_of(), POLICIES)
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run.json: got no such file, expected a JSON file"):
        RunFolder.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "got 9, expected schema 1"),
        ({"plan": {"name": "a"}}, "run.json: plan: got no 'policies'"),
        ({"polices": []}, "polices: got an unknown key, .*did you mean 'policies'?"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(change: dict[str, object], message: str, tmp_path: Path) -> None:
    RunFolder.open(tmp_path, plan_of(), POLICIES)
    data = json.loads((tmp_path / RUN_FILE).read_text())
    (tmp_path / RUN_FILE).write_text(json.dumps({**data, **change}))
    with pytest.raises(RecordError, match=message):
        RunFolder.read(tmp_path)


def test_the_commit_is_a_hash_or_nothing() -> None:
    commit = git_commit().removesuffix("-dirty")
    assert commit == "" or (len(commit) == 40 and set(commit) <= set("0123456789abcdef"))
