"""Simulation and reality in one interval: right however wrong the twin is, and narrower when it is right."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from evaluation.statistics.estimate import Estimate
from evaluation.statistics.prediction_powered import joined, rectified, stratified

pytestmark = pytest.mark.skipif(find_spec("scipy") is None, reason="needs scipy (extra 'report')")


def draw(
    n: int, real: float, twin: float, correlation: float, rng: np.random.Generator
) -> tuple[list[bool], list[bool]]:
    both = real * twin + correlation * np.sqrt(real * (1 - real) * twin * (1 - twin))
    kinds = rng.choice(4, size=n, p=[both, real - both, twin - both, 1 - real - twin + both])
    return (kinds < 2).tolist(), np.isin(kinds, (0, 2)).tolist()


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


@pytest.mark.parametrize(
    ("real", "twin", "correlation"), [(0.7, 0.8, 0.6), (0.9, 0.5, 0.0), (0.3, 0.9, 0.1), (0.5, 0.5, -0.8)]
)
@pytest.mark.parametrize("method", [stratified, rectified])
def test_it_covers_however_wrong_the_twin_is(method: object, real: float, twin: float, correlation: float) -> None:
    rng, missed = np.random.default_rng(1), 0
    for _ in range(30):
        outcomes, predicted = draw(20, real, twin, correlation, rng)
        extra = (rng.random(200) < twin).tolist()
        found = method(outcomes, predicted, extra)  # type: ignore[operator]
        missed += not found.low <= real <= found.high
    assert missed <= 5  # 30 x 0.05 = 1.5; 6 or more has a chance of 0.004


def test_a_twin_that_predicts_well_narrows_the_interval_and_one_that_does_not_widens_it() -> None:
    rng = np.random.default_rng(2)
    widths = {}
    for correlation in (0.0, 0.9):
        rows = []
        for _ in range(12):
            outcomes, predicted = draw(60, 0.5, 0.5, correlation, rng)
            both = joined(outcomes, predicted, (rng.random(20_000) < 0.5).tolist())
            rows.append((width(both.plain), width(both.joined)))
        widths[correlation] = np.mean(rows, axis=0)
    plain, narrow = widths[0.9]
    assert narrow < 0.85 * plain
    plain, wide = widths[0.0]
    assert wide > plain


def test_the_plain_interval_is_always_beside_it() -> None:
    outcomes, predicted = [True] * 12 + [False] * 8, [True] * 11 + [False] * 9
    found = joined(outcomes, predicted, [True] * 300 + [False] * 100)
    assert (found.plain.value, found.plain.n) == (0.6, 20)
    assert found.twin.n == 420
    assert found.correlation == pytest.approx(np.corrcoef(outcomes, predicted)[0, 1])
    assert found.joined.low <= found.joined.value <= found.joined.high


def test_scores_between_none_and_all_are_joined_too() -> None:
    rng = np.random.default_rng(3)
    real = rng.beta(4, 2, 40)
    twin = np.clip(real + rng.normal(0, 0.1, 40), 0, 1)
    found = rectified(real.tolist(), twin.tolist(), rng.beta(4, 2, 2000).tolist())
    assert found.low <= 2 / 3 <= found.high


def test_what_is_missing_is_reported() -> None:
    with pytest.raises(ValueError, match="got 1 trials, expected 2"):
        joined([True, False], [True], [])
    with pytest.raises(ValueError, match="expected at least 2"):
        rectified([1.0, 0.0], [1.0, 0.0], [1.0])
    assert stratified([], [], []).n == 0
