"""Intervals against the values printed in the papers that define them, and what must hold for any numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics.estimate import Estimate
from evaluation.statistics.means import mean, mean_fraction
from evaluation.statistics.multiple import holm
from evaluation.statistics.pairs import mcnemar, paired, sign_flip, tango
from evaluation.statistics.proportions import (
    boschloo,
    clopper_pearson,
    clustered_proportion,
    difference,
    proportion,
    wilson,
)
from evaluation.statistics.times import success_curve, successes_per_hour, time_to_success

pytestmark = pytest.mark.skipif(find_spec("scipy") is None, reason="needs scipy (extra 'report')")
quick = settings(deadline=None, max_examples=40)  # a busy machine is no reason to fail


@st.composite
def proportions(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 400))
    return draw(st.integers(0, n)), n


def bounds(estimate: Estimate) -> tuple[float, float]:
    return round(estimate.low, 4), round(estimate.high, 4)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # FLaRe's ObjectNav on a real Stretch: 94.4 % of what can only have been 18 trials.
        (17, 18, 0.7424, 0.9901),
    ],
)
def test_wilson_is_that_of_the_paper(successes: int, n: int, low: float, high: float) -> None:
    assert bounds(wilson(successes, n)) == (low, high)


def test_wilson_of_no_trials_knows_nothing() -> None:
    estimate = wilson(0, 0)
    assert math.isnan(estimate.value)
    assert (estimate.low, estimate.high, estimate.n) == (0.0, 1.0, 0)


def test_wilson_refuses_more_successes_than_trials() -> None:
    with pytest.raises(ValueError, match="got 5 of 4, expected 0 to 4"):
        wilson(5, 4)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 95.0])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="expected between 0 and 1"):
        wilson(1, 2, confidence)


@quick
@given(proportions())
def test_wilson_holds_its_value_and_mirrors(proportion: tuple[int, int]) -> None:
    successes, n = proportion
    here, there = wilson(successes, n), wilson(n - successes, n)
    assert 0.0 <= here.low <= here.value <= here.high <= 1.0
    assert here.low == pytest.approx(1 - there.high, abs=1e-12)
    assert 0.0 < here.high - here.low < 1.0


@quick
@given(proportions(), st.integers(2, 20))
def test_more_trials_make_wilson_narrower(proportion: tuple[int, int], times: int) -> None:
    few, many = wilson(*proportion), wilson(proportion[0] * times, proportion[1] * times)
    assert many.high - many.low < few.high - few.low


def test_wilson_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = rng.binomial(40, 0.3, size=4000)
    covered = [wilson(int(k), 40) for k in draws]
    assert np.mean([one.low <= 0.3 <= one.high for one in covered]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, "Interval estimation for the difference between independent proportions", table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((74, 80), (91, 120), 0.0625, 0.2596),
    ],
)
def test_the_difference_is_that_of_the_paper(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert bounds(difference(first, second)) == (low, high)


def test_the_difference_without_trials_knows_nothing() -> None:
    estimate = difference((3, 4), (0, 0))
    assert math.isnan(estimate.value)
    assert (estimate.low, estimate.high) == (-1.0, 1.0)


@quick
@given(proportions(), proportions())
def test_the_difference_turns_its_sign_and_stays_in_its_range(first: tuple[int, int], second: tuple[int, int]) -> None:
    here, there = difference(first, second), difference(second, first)
    assert -1.0 <= here.low <= here.value <= here.high <= 1.0
    assert here.low == pytest.approx(-there.high, abs=1e-12)
    assert here.value == pytest.approx(-there.value, abs=1e-12)


def trials(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * both + [True] * only_first + [False] * only_second + [False] * neither
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness before and after transplantation: -0.517 to
        # -0.026. The others are fieldtrial 0.3.0's `tango_interval`; no discordant pair gives z^2 / (n + z^2).
        ((1, 1, 7, 12), -0.5172, -0.0260),
        ((36, 12, 2, 0), 0.0611, 0.3447),
        ((54, 0, 0, 0), -0.0664, 0.0664),
        ((0, 8, 0, 0), 0.3512, 1.0),
        ((10, 3, 14, 13), -0.4536, -0.0803),
    ],
)
def test_the_paired_difference_is_that_of_the_paper(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    result = paired(*trials(*counts))
    assert (result.both, result.only_first, result.only_second, result.neither) == counts
    assert bounds(result.difference) == (low, high)
    assert result.difference.n == sum(counts)


def test_pairs_tell_more_than_two_unrelated_groups() -> None:
    result = paired(*trials(60, 20, 2, 18))
    loose = difference((80, 100), (62, 100))
    assert result.difference.value == pytest.approx(loose.value)
    assert result.difference.high - result.difference.low < loose.high - loose.low


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="got 2 and 1 trials"):
        paired([True, False], [True])


def test_no_pairs_tell_nothing() -> None:
    result = paired([], [])
    assert math.isnan(result.difference.value)
    assert result.p_value == 1.0


@quick
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_a_paired_comparison_turns_its_sign(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    here, there = paired(first, second), paired(second, first)
    assert -1.0 - 1e-9 <= here.difference.low <= here.difference.value <= here.difference.high <= 1.0 + 1e-9
    assert here.difference.low == pytest.approx(-there.difference.high, abs=1e-12)
    assert here.p_value == there.p_value


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 2**5),
        (6, 1, 2 * (1 + 7) / 2**7),
        (12, 2, 2 * (1 + 14 + 91) / 2**14),
        (4, 4, 1.0),
    ],
)
def test_mcnemar_is_a_fair_coin_over_the_discordant_pairs(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)
    assert mcnemar(only_second, only_first) == pytest.approx(p)


def test_the_mean_and_its_bootstrap_are_near_the_normal_interval_for_many_values() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, size=400).tolist()
    estimate = mean(values)
    half = 1.96 * np.std(values) / math.sqrt(400)
    assert estimate.value == pytest.approx(np.mean(values))
    assert (estimate.low, estimate.high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=2e-3)


def test_the_same_values_always_give_the_same_interval() -> None:
    assert mean([0.1, 0.7, 0.0, 1.0]) == mean([0.1, 0.7, 0.0, 1.0])


@quick
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_a_mean_lies_in_its_interval_and_the_interval_among_the_values(values: list[float]) -> None:
    estimate = mean(values, resamples=50)
    assert min(values) - 1e-9 <= estimate.low <= estimate.high <= max(values) + 1e-9
    assert estimate.n == len(values)


def test_the_mean_of_nothing_is_not_a_number() -> None:
    assert math.isnan(mean([]).value)
    assert math.isnan(mean_fraction([]).value)


def test_fractions_that_are_all_the_same_are_not_held_for_certain() -> None:
    assert bounds(mean([0.0] * 20)) == (0.0, 0.0)
    assert bounds(mean_fraction([0.0] * 20)) == bounds(wilson(0, 20)) == (0.0, 0.1611)
    assert mean_fraction([0.5] * 8) == wilson(4, 8)
    assert mean_fraction([0.0, 1.0, 0.5]) == mean([0.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, table I, method 5, which statsmodels 0.15.0 (`proportion_confint(method="beta")`) gives too.
    [(0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776), (15, 148, 0.0578, 0.1617), (17, 18, 0.7271, 0.9986)],
)
def test_clopper_and_pearson_are_those_of_the_paper(successes: int, n: int, low: float, high: float) -> None:
    assert bounds(clopper_pearson(successes, n)) == (low, high)


@pytest.mark.parametrize("n", [10, 18, 50, 200])
def test_a_rate_is_covered_more_often_than_by_wilson_near_the_edge(n: int) -> None:
    def worst(method: Callable[[int, int], Estimate]) -> float:
        found = [method(k, n) for k in range(n + 1)]
        ways = np.array([math.comb(n, k) for k in range(n + 1)], np.float64)
        k = np.arange(n + 1)
        return min(
            float(sum((ways * p**k * (1 - p) ** (n - k))[i] for i, one in enumerate(found) if one.low <= p <= one.high))
            for p in np.linspace(0.01, 0.99, 99)
        )

    assert worst(proportion) >= 0.925
    assert worst(proportion) >= worst(wilson)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    # SimpleVLA-RL's real trials, 50 for each policy and task; fieldtrial 0.3.0's `boschloo_test`.
    [((19, 50), (35, 50), 0.001442), ((1, 50), (5, 50), 0.144864), ((0, 50), (7, 50), 0.007342), ((4, 8), (2, 4), 1.0)],
)
def test_boschloo_is_that_of_the_oracle(first: tuple[int, int], second: tuple[int, int], p: float) -> None:
    assert boschloo(first, second) == pytest.approx(p, abs=1e-6)
    assert boschloo(second, first) == pytest.approx(p, abs=1e-6)


def test_holm_is_that_of_the_oracle() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))  # statsmodels 0.15.0
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_repeats_at_one_place_tell_less_than_places() -> None:
    outcomes = [place < 6 for place in range(10) for _ in range(5)]  # every repeat ends alike
    repeated = clustered_proportion(outcomes, [place for place in range(10) for _ in range(5)])
    assert (repeated.value, repeated.n) == (0.6, 50)
    places = proportion(6, 10)
    assert repeated.low == pytest.approx(places.low, abs=0.1)
    assert repeated.high - repeated.low >= 0.95 * (places.high - places.low)
    assert clustered_proportion(outcomes, range(50)) == proportion(30, 50)


def test_repeats_that_never_failed_count_as_one_each() -> None:
    found = clustered_proportion([True] * 20, [index // 5 for index in range(20)])
    assert (found.low, found.high) == (proportion(4, 4).low, 1.0)
    assert found.n == 20


@pytest.mark.parametrize(("rate", "alike"), [(0.6, 0.0), (0.6, 0.5), (0.9, 0.3)])
def test_the_interval_covers_the_rate_of_repeated_trials(rate: float, alike: float) -> None:
    rng = np.random.default_rng(3)
    places, repeats, clusters = 15, 4, [index // 4 for index in range(60)]
    covered = naive = 0
    for _ in range(300):
        own = rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), places) if alike else np.full(places, rate)
        outcomes = (rng.random((places, repeats)) < own[:, None]).ravel().tolist()
        found, plain = clustered_proportion(outcomes, clusters), proportion(sum(outcomes), 60)
        covered += found.low <= rate <= found.high
        naive += plain.low <= rate <= plain.high
    assert covered / 300 >= 0.92
    assert covered >= naive


def test_flipping_places_is_mcnemars_test_without_repeats() -> None:
    assert sign_flip([1] * 12 + [-1] * 2 + [0] * 6, range(20)) == mcnemar(12, 2)
    alike = sign_flip([1] * 12 + [-1] * 2, [*([0] * 6), *([1] * 6), 2, 3])
    assert alike == 2 * (1 + 2 + 1) / 2**4  # 6 + 6 - 1 - 1 or more, of 16 ways to sign 6, 6, 1, 1
    assert sign_flip([1, -1], [0, 0]) == 1.0


def test_the_interval_of_pairs_widens_with_repeats() -> None:
    first, second = trials(20, 12, 2, 16)
    clusters = [index // 5 for index in range(50)]
    alone, repeated = paired(first, second), paired(first, second, clusters=clusters)
    assert repeated.difference.value == alone.difference.value
    assert repeated.difference.high - repeated.difference.low > alone.difference.high - alone.difference.low
    assert repeated.p_value > alone.p_value
    assert tango(12, 2, 50) == alone.difference


def test_a_failure_takes_all_the_time_there_is() -> None:
    times, solved = [10.0, 20.0, 5.0, 90.0], [True, True, False, False]
    assert success_curve(times, solved) == [(10.0, 0.25), (20.0, 0.5)]
    assert time_to_success(times, solved, 60.0).value == (10 + 20 + 60 + 60) / 4
    hourly = successes_per_hour(times, solved)
    assert hourly.value == pytest.approx(2 * 3600 / 125)
    assert hourly.low <= hourly.value <= hourly.high
