"""Rules of stopping: they err as rarely as they say, see what they were planned for, and match the oracles."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from evaluation.statistics.arms import rank
from evaluation.statistics.betting import anytime_p_values, bounded_mean, confidence_sequence, e_values
from evaluation.statistics.group_sequential import looks
from evaluation.statistics.power import Effect, anytime_length, critical, effect_of, mcnemar_power, pairs_needed, power
from evaluation.statistics.rules import BETTER, Rule, Verdict, decide

pytestmark = pytest.mark.skipif(find_spec("scipy") is None, reason="needs scipy (extra 'report')")
EFFECT = effect_of(0.3)
RULES = {
    name: Rule(name, 48, smallest=0.3, win_rate=EFFECT.win_rate)  # type: ignore[arg-type]
    for name in ("fixed", "group_sequential", "anytime")
}
NULLS = [(0.25, 0.25), (0.1, 0.1), (0.45, 0.45)]


def draw(effect: Effect, pairs: int, rng: np.random.Generator) -> list[float]:
    chances = [effect.better, effect.worse, 1 - effect.discordant]
    return rng.choice([1.0, -1.0, 0.0], p=chances, size=pairs).tolist()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("null", NULLS)
def test_who_looks_as_the_rule_allows_errs_as_rarely_as_it_says(name: str, null: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    wrong = sum(decide(RULES[name], draw(Effect(*null), 48, rng)).verdict in BETTER for _ in range(120))
    assert wrong <= 12  # 120 x 0.05 = 6; 13 or more has a chance of 0.006 at exactly 0.05, and the rules err less


def test_a_test_after_every_pair_would_err_far_more_often() -> None:
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(200):
        made = np.array(draw(Effect(0.25, 0.25), 200, rng))
        wins = np.cumsum([made == side for side in (1, -1)], axis=1)
        wrong += any(max(a, b) >= critical(int(a + b), 0.05) for a, b in wins.T)
    assert wrong > 20  # 10 are allowed


@pytest.mark.parametrize("null", NULLS)
def test_the_exact_error_rate_of_the_anytime_rule_is_below_alpha(null: tuple[float, float]) -> None:
    assert power(replace(RULES["anytime"], pairs=200), Effect(*null)) <= 0.05
    assert power(replace(RULES["group_sequential"], pairs=200), Effect(*null)) <= 0.05
    assert power(replace(RULES["fixed"], pairs=200), Effect(*null)) <= 0.05


@pytest.mark.parametrize("name", RULES)
def test_the_power_is_what_simulated_evaluations_find(name: str) -> None:
    rng, rule = np.random.default_rng(3), RULES[name]
    found = [decide(rule, draw(EFFECT, rule.pairs, rng)).verdict is Verdict.FIRST for _ in range(150)]
    assert np.mean(found) == pytest.approx(power(rule, EFFECT), abs=0.1)


@pytest.mark.parametrize(
    ("effect", "pairs", "known"),  # fieldtrial 0.3.0's `mcnemar_power`
    [((0.36, 0.06), 40, 0.83853456), ((0.25, 0.15), 100, 0.29877839), ((0.5, 0.1), 15, 0.4112445)],
)
def test_the_exact_power_of_mcnemars_test_is_that_of_the_oracle(
    effect: tuple[float, float], pairs: int, known: float
) -> None:
    assert mcnemar_power(Effect(*effect), pairs, 0.05) == pytest.approx(known, abs=1e-8)


@pytest.mark.parametrize("name", RULES)
def test_the_number_of_pairs_is_the_smallest_that_is_enough(name: str) -> None:
    effect = effect_of(0.4)
    rule = replace(RULES[name], smallest=0.4, win_rate=effect.win_rate)
    pairs = pairs_needed(rule, effect, 0.8)
    assert power(replace(rule, pairs=pairs), effect) >= 0.8
    assert power(replace(rule, pairs=pairs - 2), effect) < 0.81
    if name == "anytime":
        assert anytime_length(effect, pairs, 0.05, rule.stake) < pairs_needed(RULES["fixed"], effect, 0.8)


def test_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="rates"):
        effect_of(0.4, expected=0.7)
    with pytest.raises(ValueError, match="agreement"):
        effect_of(0.3, expected=0.5, agreement=1.0)
    with pytest.raises(ValueError, match="more than"):
        pairs_needed(RULES["fixed"], effect_of(0.05), 0.9)


@pytest.mark.parametrize(
    ("spending", "known"),
    # Lan and DeMets 1983; fieldtrial 0.3.0's `spending_boundaries` at 4 equally spaced looks.
    [("obrien_fleming", (4.3326, 2.9631, 2.3590, 2.0141)), ("pocock", (2.3683, 2.3675, 2.3582, 2.3500))],
)
def test_the_boundaries_approach_those_of_the_normal_distribution(spending: str, known: tuple[float, ...]) -> None:
    discordant = (2500, 5000, 7500, 10000)
    found = looks(discordant, (0.25, 0.5, 0.75, 1.0), 0.05, spending)  # type: ignore[arg-type]
    scores = [(2 * look.better - count) / math.sqrt(count) for look, count in zip(found, discordant, strict=True)]
    assert scores == pytest.approx(known, abs=0.06)
    assert all(score >= one - 1e-3 for score, one in zip(scores, known, strict=True))


def test_capital_of_wins_and_losses_is_the_mixture_of_fair_bets() -> None:
    from scipy.special import beta, betainc

    wins, losses = 14, 4  # the even mixture is Beta(1, 1) over (1/2, 1): its integral is known
    exact = 2 ** (wins + losses + 1) * beta(wins + 1, losses + 1) * (1 - betainc(wins + 1, losses + 1, 0.5))
    values = [1.0] * wins + [0.0] * losses
    assert e_values(values, 0.5)[-1] == pytest.approx(exact, rel=1e-3)
    assert anytime_p_values(values, 0.5)[-1] <= 2 / exact


def test_a_confidence_sequence_holds_at_every_number_of_trials_at_once() -> None:
    rng, missed = np.random.default_rng(4), 0
    for _ in range(40):
        values = (rng.random(40) < 0.7).astype(float)
        found = [confidence_sequence(values[:count].tolist(), 0.8) for count in range(6, 41, 8)]
        missed += any(not one.low <= 0.7 <= one.high for one in found)
    assert missed <= 14  # 40 x 0.2 = 8; 15 or more has a chance of 0.008


def test_an_interval_for_a_planned_number_is_narrower_and_still_covers() -> None:
    rng, missed, widths = np.random.default_rng(5), 0, []
    for _ in range(60):
        values = rng.beta(4, 2, size=40).tolist()
        planned, always = bounded_mean(values), confidence_sequence(values)
        missed += not planned.low <= 2 / 3 <= planned.high
        widths.append((planned.high - planned.low, always.high - always.low))
    assert missed <= 7
    assert np.mean(widths, axis=0)[0] < np.mean(widths, axis=0)[1]


def test_a_decision_once_made_stays() -> None:
    made = [1.0] * 14 + [-1.0] * 20
    first = decide(RULES["anytime"], made[:14])
    later = decide(RULES["anytime"], made)
    assert (first.verdict, first.after) == (Verdict.FIRST, later.after) == (later.verdict, first.after)


def test_futility_is_reported_when_nothing_can_come_of_it() -> None:
    fixed = RULES["fixed"]
    assert decide(fixed, [0.0] * 44).verdict is Verdict.NO_USE  # four pairs left: p is 0.125 at best
    assert decide(fixed, [0.0] * 20).verdict is Verdict.GO_ON
    assert decide(fixed, [0.0] * 48).verdict is Verdict.NOT_SHOWN
    assert decide(fixed, [1.0] * 47).verdict is Verdict.FIRST  # whatever the last one brings
    even = [1.0, -1.0] * 18
    assert decide(RULES["group_sequential"], even).verdict is Verdict.NO_USE
    assert decide(replace(RULES["anytime"], pairs=400), [1.0, -1.0, 0.0, 0.0] * 60).verdict is Verdict.NO_USE


def test_a_fixed_plan_shows_no_difference_before_its_end() -> None:
    early = decide(RULES["fixed"], [1.0, 0.0] * 10)
    assert early.difference is None
    assert math.isnan(early.p_value)


def test_partial_credit_decides_too() -> None:
    rng = np.random.default_rng(6)
    made = np.clip(rng.normal(0.3, 0.3, 48), -1, 1).tolist()
    assert decide(RULES["anytime"], made).verdict is Verdict.FIRST


def test_the_best_of_several_is_found_and_named() -> None:
    rng = np.random.default_rng(7)
    rates = {"good": 0.9, "fair": 0.5, "poor": 0.2}
    scores = {arm: {str(block): float(rng.random() < rate) for block in range(48)} for arm, rate in rates.items()}
    found = rank(RULES["anytime"], scores)
    assert found.best == "good"
    assert found.may_stop
    early = rank(RULES["anytime"], {arm: dict(list(one.items())[:3]) for arm, one in scores.items()})
    assert early.unbeaten == ("good", "fair", "poor")
    assert not early.may_stop


@pytest.mark.parametrize("name", ["fixed", "anytime"])
def test_one_error_rate_holds_for_all_comparisons_of_equal_arms(name: str) -> None:
    rng, wrong, rule = np.random.default_rng(8), 0, replace(RULES[name], pairs=30)
    for _ in range(40):
        outcomes = (rng.random((4, 30)) < 0.5).astype(float)
        scores = {str(arm): dict(zip(map(str, range(30)), row.tolist())) for arm, row in enumerate(outcomes)}
        wrong += any(one.decision.verdict in BETTER for one in rank(rule, scores).comparisons)
    assert wrong <= 6  # 40 x 0.05 = 2; 7 or more has a chance of 0.003
