"""Success against perturbations in the report, and how well one evaluation ranks the policies of another."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from episodes import POLICIES as IDENTITIES
from episodes import episode_of, plan_of

from evaluation.errors import FolderError, PlanError
from evaluation.evaluate import Evaluate, _overridden
from evaluation.plans.latency import LatencySettings
from evaluation.plans.plan import PolicyEntry, read_plan
from evaluation.plans.trial import Outcome
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.delay import delay_curves
from evaluation.reporting.report import write_report
from evaluation.reporting.results import results_of
from evaluation.reporting.robustness import rankings, robustness
from evaluation.statistics.ranking import pearson, rank_violation, ranking

HOUSES = 40


def plan_file(folder: Path, more: str = "") -> Path:
    file = folder / "plan.yaml"
    text = "name: home\nhouses: {count: 2}\nmax_steps: 50\npolicies: [{name: mini, bundle: b}]\n"
    file.write_text(text + more)
    return file


def test_a_plan_perturbs_its_trials_and_its_hash_is_as_before_without(tmp_path: Path) -> None:
    plain, perturbed = read_plan(plan_file(tmp_path)), read_plan(plan_file(tmp_path, "perturb: camera_pitch=2\n"))
    assert {trial.perturb for trial in plain.trials()} == {""}
    assert {trial.perturb for trial in perturbed.trials()} == {"camera_pitch=2"}
    assert plain.sha256 != perturbed.sha256
    assert plain.sha256 == replace(perturbed, perturb="").sha256


@pytest.mark.parametrize("more", ["perturb: pitch=2\n", "perturb: drive=6\n", "robot: fake\nperturb: drive=1\n"])
def test_a_perturbation_that_cannot_be_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(PlanError, match="perturb"):
        read_plan(plan_file(tmp_path, more))


def test_the_command_line_perturbs_and_the_name_tells(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path))
    over = _overridden(plan, Evaluate(tmp_path / "plan.yaml", tmp_path, perturb="drive=1 turn=1"))
    assert (over.perturb, over.name) == ("drive=1 turn=1", "home, drive=1 turn=1")
    with pytest.raises(PlanError, match="perturb"):
        _overridden(plan, Evaluate(tmp_path / "plan.yaml", tmp_path, perturb="drive"))


def folder_with(
    path: Path, perturb: str, successes: Mapping[str, int], delay_s: float = 0.0, seed: int = 0
) -> RunFolder:
    """An evaluation in which each policy succeeds in the first so many of `HOUSES` houses."""
    plan = plan_of(f"home {perturb} {delay_s:g}", HOUSES)
    entries, latency = tuple(PolicyEntry(name, bundle=name) for name in successes), LatencySettings(delay_s=delay_s)
    plan = replace(plan, policies=entries, perturb=perturb, baseline="", latency=latency, seed=seed)
    identities = tuple(replace(IDENTITIES[0], name=name) for name in successes)
    folder = RunFolder.open(path / f"{perturb} {delay_s:g} {seed}", plan, identities)
    for trial in plan.trials():
        success = trial.block < successes[trial.policy]
        episode_of(trial, Outcome.SUCCESS if success else Outcome.FAILURE).write(folder.trial(trial))
    return folder


RATES = {
    "": {"good": 32, "fair": 20, "poor": 4},
    "drive=2": {"good": 30, "fair": 18, "poor": 4},
    "blur=3": {"good": 8, "fair": 16, "poor": 4},
}


def test_a_report_has_the_curve_the_weakest_axis_and_the_ranking(tmp_path: Path) -> None:
    folders = [folder_with(tmp_path, perturb, rates) for perturb, rates in RATES.items()]
    results = results_of(folders)
    curve = next(one for one in robustness(results) if one.policy == "good")
    assert [point.perturb for point in curve.points] == ["", "blur=3", "drive=2"]
    assert curve.weakest.perturb == "blur=3"
    assert curve.weakest.difference.value == pytest.approx(-24 / 40)
    assert curve.weakest.difference.high < 0.0
    held, lost = sorted(rankings(results), key=lambda one: one.ranking.violation.value)
    assert (held.perturb, held.ranking.violation.value) == ("drive=2", 0.0)
    assert held.ranking.pearson.value == pytest.approx(1.0, abs=0.01)
    assert (lost.perturb, lost.ranking.violation.value) == ("blur=3", pytest.approx(2 * 8 / 40 / 3))
    write_report(folders, tmp_path / "report")
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(data["robustness"]) == 3
    assert [one["perturb"] for one in data["rankings"]] == ["blur=3", "drive=2"]
    for file in ("report.html", "report.md"):
        assert curve.sentence() in (tmp_path / "report" / file).read_text()
    assert (tmp_path / "report" / "tables" / "robustness.csv").is_file()


def test_evaluations_at_another_latency_or_in_other_houses_are_not_compared(tmp_path: Path) -> None:
    late = folder_with(tmp_path, "", {"good": 2, "fair": 20, "poor": 4}, delay_s=1.0)
    plain, perturbed = (folder_with(tmp_path, perturb, RATES[perturb]) for perturb in ("", "drive=2"))
    for folders in ([plain, late, perturbed], [late, plain, perturbed]):
        results = results_of(folders)
        (held,) = rankings(results)
        assert held.ranking.pearson.value == pytest.approx(1.0, abs=0.01)
        assert [len(curve.points) for curve in robustness(results)] == [2, 2, 2]
    elsewhere = folder_with(tmp_path, "drive=2", RATES["drive=2"], seed=7)
    assert robustness(results_of([plain, elsewhere])) == ()


def test_a_folder_counts_once_and_a_name_stands_for_one_condition(tmp_path: Path) -> None:
    plain = folder_with(tmp_path / "one", "", RATES[""])
    twice = results_of([plain, RunFolder.read(tmp_path / "one" / ".." / "one" / plain.path.name)])
    assert {(row.success.n, row.planned) for row in twice.rows} == {(HOUSES, HOUSES)}
    plan = replace(plain.info.plan, perturb="drive=2")
    other = RunFolder.open(tmp_path / "other", plan, plain.info.policies)
    with pytest.raises(FolderError, match="perturbation"):
        results_of([plain, other])


def test_nothing_is_said_where_nothing_was_perturbed(tmp_path: Path) -> None:
    folders = [folder_with(tmp_path, "", RATES[""])]
    results = results_of(folders)
    assert robustness(results) == () == rankings(results) == delay_curves(results)
    write_report(folders, tmp_path / "report")
    assert "perturbation" not in (tmp_path / "report" / "report.html").read_text()


def test_rank_violation_is_that_of_its_definition() -> None:
    assert rank_violation([0.1, 0.5, 0.9], [0.2, 0.3, 0.4]) == 0.0
    # the first two are swapped, 0.3 apart; the third is where it belongs
    assert rank_violation([0.5, 0.1, 0.9], [0.2, 0.5, 0.8]) == pytest.approx((0.3 + 0.3 + 0.0) / 3)
    assert math.isnan(pearson([0.1, 0.5, 0.9], [0.3] * 3))
    series = np.random.default_rng(0).uniform(size=(2, 7))
    assert pearson(*series) == pytest.approx(np.corrcoef(series)[0, 1])


def test_a_ranking_needs_three_policies_with_the_same_trials() -> None:
    for wrong in ([[1.0], [0.0]], [[1.0], [0.0], [1.0, 0.0]], [[], [], []]):
        with pytest.raises(ValueError, match="ranking"):
            ranking(wrong, wrong)


def test_more_trials_leave_less_open() -> None:
    random = np.random.default_rng(1)
    rates = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    few, many = (
        ranking(*[(random.uniform(size=(5, n)) < rates[:, None]).astype(float).tolist() for _ in range(2)])
        for n in (10, 400)
    )
    assert many.pearson.value > 0.97
    assert many.pearson.high - many.pearson.low < (few.pearson.high - few.pearson.low) / 2
