"""What evaluations came to: who counts, who does not, and which bundle it is of."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from episodes import FLOOR, MANIFEST, POLICIES, SHA256, episode_of, plan_of, run_folder

from evaluation.plans.trial import Outcome
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.provenance import bundles_of, differing
from evaluation.reporting.results import Key, Results, baseline_of, results_of
from evaluation.reporting.table import aligned, compared, interval, p_value, percent, text_table, transferred, trials
from evaluation.stages.trial_setup import TrialSetup
from evaluation.statistics.means import mean
from evaluation.statistics.proportions import difference, proportion

S, F, A, I = Outcome.SUCCESS, Outcome.FAILURE, Outcome.ABORTED, Outcome.INTERVENTION  # noqa: E741
MINI = Key("test houses", "twin", "object_nav", "mini")
RANDOM = replace(MINI, policy="random")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return results_of([run_folder(tmp_path / "run", {"mini": [S, S, F, A, I, S], "random": [F, F, F, S, F, None]})])


def test_a_row_has_both_denominators_and_aborted_is_in_one_of_them(results: Results) -> None:
    mini, _ = results.rows
    assert mini.key == MINI
    assert mini.success == proportion(3, 5)
    assert mini.success_of_all == proportion(3, 6)
    assert (mini.planned, mini.aborted, mini.interventions) == (6, 1, 1)


def test_a_trial_that_was_not_run_is_counted_nowhere_but_in_the_plan(results: Results) -> None:
    _, random = results.rows
    assert random.success == random.success_of_all == proportion(1, 5)
    assert (random.planned, random.aborted) == (6, 0)


def test_sel_is_over_judged_trials(results: Results) -> None:
    mini, _ = results.rows
    assert mini.sel == mean([0.8, 0.8, 0.0, 0.0, 0.8])
    assert mini.steps.value == pytest.approx((20 * 3 + 50 * 2) / 5)
    assert mini.collisions is not None
    assert mini.collisions.value == 2.0


def test_sel_is_unknown_where_nobody_knows_the_experts_length(tmp_path: Path) -> None:
    metrics = replace(episode_of(plan_of().trials()[0]).metrics, sel=None, collisions=None)
    row = results_of([run_folder(tmp_path, {"mini": [S], "random": [F]}, metrics=metrics)]).rows[0]
    assert row.sel is None
    assert row.collisions is None
    assert interval(row.sel) == "-"


def test_policies_are_compared_over_the_houses_both_were_judged_in(results: Results) -> None:
    (one,) = results.comparisons
    assert (one.first, one.second) == (MINI, RANDOM)
    result = one.result  # houses 0, 1, 2 and 4: mini S S F I, random F F F F
    assert (result.both, result.only_first, result.only_second, result.neither) == (0, 2, 0, 2)
    assert result.difference.n == 4


def test_the_baseline_is_the_one_the_plan_names_or_the_first_uniform_one() -> None:
    assert baseline_of(plan_of()) == "random"
    assert baseline_of(replace(plan_of(), baseline="mini")) == "mini"
    assert baseline_of(replace(plan_of(), policies=plan_of().policies[:1])) == ""


def test_nothing_is_compared_without_a_baseline(tmp_path: Path) -> None:
    plan = replace(plan_of(count=1), policies=plan_of().policies[:1])
    folder = run_folder(tmp_path, {"mini": [S]}, plan)
    assert results_of([folder]).comparisons == ()


def test_failures_are_counted_by_kind_in_a_fixed_order(results: Results) -> None:
    assert results.failures[MINI] == {"timeout": 1, "intervention": 1, "policy failed": 1}
    assert list(results.failures[MINI]) == ["timeout", "intervention", "policy failed"]
    assert results.failures[RANDOM] == {"timeout": 4}


def test_categories_are_over_judged_trials(results: Results) -> None:
    assert results.categories[MINI] == {"sofa": proportion(3, 5)}


def test_categories_are_distinguished(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, {"mini": [S, F], "random": [F, F]})
    trial = folder.info.plan.trials()[0]
    episode_of(trial, S, scene=TrialSetup("find a mug", "mug", 3, FLOOR, {"a": 1})).write(folder.trial(trial))
    assert sorted(results_of([folder]).categories[replace(MINI, policy=trial.policy)]) == ["mug", "sofa"]


def test_rows_stand_in_the_order_of_the_plan_whoever_ran_first(results: Results) -> None:
    assert [row.key.policy for row in results.rows] == ["mini", "random"]


def real(path: Path, outcomes: list[Outcome | None], **changes: object) -> RunFolder:
    """The same policy in a real home."""
    changes = {"robot": "stretch_re1", "scene": TrialSetup("find a sofa", "sofa"), **changes}
    return run_folder(
        path, {"mini": outcomes, "random": [F] * len(outcomes)}, plan_of("home", len(outcomes)), **changes
    )


def test_one_bundle_in_simulation_and_on_a_robot_is_a_zero_shot_result(tmp_path: Path) -> None:
    simulated = run_folder(tmp_path / "sim", {"mini": [S, S, S, F], "random": [F, F, F, F]})
    results = results_of([simulated, real(tmp_path / "home", [S, F, F])])
    (mini,) = results.transfers  # and none for the random baseline
    assert (mini.simulated, mini.real.robot, mini.bundle_sha256) == (MINI, "stretch_re1", SHA256)
    assert mini.difference == difference((1, 3), (3, 4))
    assert "mini, object_nav: stretch_re1 against twin: -42 points" in transferred(mini)
    assert "zero-shot: the same bundle 5e5e5e5e5e5e in both" in transferred(mini)
    (bundle,) = bundles_of(results)
    assert bundle.claim.startswith("Zero-shot: the same bundle was evaluated in simulation (twin) and on stretch_re1")
    assert differing(results) == ()


def test_another_bundle_on_the_robot_is_no_zero_shot_result_and_is_reported(tmp_path: Path) -> None:
    simulated = run_folder(tmp_path / "sim", {"mini": [S, S], "random": [F, F]})
    results = results_of([simulated, real(tmp_path / "home", [S, F], bundle_sha256="77" * 32)])
    assert results.transfers == ()
    assert differing(results) == ("mini", "random")
    assert [one.sha256[:4] for one in bundles_of(results)] == ["5e5e", "7777"]


def test_a_simulated_run_alone_claims_nothing_of_robots(results: Results) -> None:
    (bundle,) = bundles_of(results)
    assert bundle.claim.startswith("Simulated results only")
    assert results.transfers == ()


def test_a_real_run_alone_points_at_the_simulated_result_in_the_manifest(tmp_path: Path) -> None:
    (bundle,) = bundles_of(results_of([real(tmp_path, [S])]))
    assert "this bundle's own manifest holds its simulated result" in bundle.claim
    assert bundle.simulated == ("object_nav, val houses, greedy: 64 % [57, 70] in 200 episodes",)


def test_a_real_run_of_a_bundle_that_was_never_simulated_says_so(tmp_path: Path) -> None:
    folder = real(tmp_path, [S])
    bare = tuple(replace(one, manifest={**MANIFEST, "provenance": {}}) for one in POLICIES)
    folder = RunFolder(folder.path, replace(folder.info, policies=bare))
    (bundle,) = bundles_of(results_of([folder]))
    assert bundle.claim.startswith("No simulated result of this bundle is known")
    assert bundle.provenance == {}


def test_the_provenance_names_commit_command_and_network(results: Results) -> None:
    (bundle,) = bundles_of(results)
    assert bundle.network_sha256 == "ab" * 32
    assert bundle.provenance["made by"] == "ferry train bc"
    assert bundle.provenance["training steps"] == "12000"
    assert bundle.provenance["commit"].startswith("c0ffee")


def test_the_table_is_aligned_and_says_how_many_trials(results: Results) -> None:
    lines = text_table(results).splitlines()
    assert lines[0].split() == ["policy", "robot", "task", "success", "SEL", "trials"]
    success, noted = "60 % [15, 95], 50 % of all", "5 (1 aborted, 1 intervention)"
    assert lines[1] == f"mini    twin   object_nav  {success}  48 % [16, 80]  {noted}"
    assert lines[2].endswith("5 (1 not yet run)")
    assert {line.index("object_nav") for line in lines[1:3]} == {lines[0].index("task")}
    assert lines[4].startswith("mini against random: +50 points [")


def test_a_comparison_without_a_common_trial_says_so(tmp_path: Path) -> None:
    (one,) = results_of([run_folder(tmp_path, {"mini": [S, A], "random": [A, F]})]).comparisons
    assert compared(one) == "mini against random on twin: no trial in common"


def test_a_row_of_aborted_trials_knows_nothing(tmp_path: Path) -> None:
    row = results_of([run_folder(tmp_path, {"mini": [A, A], "random": [A, A]})]).rows[0]
    assert math.isnan(row.success.value)
    assert (interval(row.success), trials(row)) == ("-", "0 (2 aborted)")
    assert row.success_of_all == proportion(0, 2)


@pytest.mark.parametrize(("p", "words"), [(0.0001, "p < 0.001"), (0.0129, "p = 0.013"), (0.5, "p = 0.50")])
def test_a_p_value_is_short(p: float, words: str) -> None:
    assert p_value(p) == words


def test_numbers_in_words() -> None:
    assert percent(0.645) == "64 %"
    assert percent(math.nan) == "-"
    assert interval(proportion(17, 18)) == "94 % [73, 100]"
    assert aligned([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
