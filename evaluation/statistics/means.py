"""Means with bootstrap intervals: of any values, and of fractions such as partial credit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from evaluation.statistics.estimate import CONFIDENCE, Estimate
from evaluation.statistics.proportions import score_interval

RESAMPLES = 10_000


def mean(
    values: Sequence[float],
    confidence: float = CONFIDENCE,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The mean with its percentile bootstrap interval (Efron 1979); the same values always give the same interval.

    With `clusters` (one for each value, e.g. the place of repeats) whole clusters are drawn.
    """
    if not values:
        return Estimate(math.nan, math.nan, math.nan, 0)
    sums, sizes = _by_cluster(values, clusters)
    draws = np.random.default_rng(0).integers(len(sums), size=(resamples, len(sums)))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1), [tail, 100 - tail])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values))


def mean_fraction(
    values: Sequence[float], confidence: float = CONFIDENCE, *, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """The mean of values in [0, 1], as `mean`, or with Wilson's interval where all values are the same.

    A bootstrap of equal values has no spread; Wilson's interval is then no narrower than it should be,
    because no values in [0, 1] spread more than zeros and ones. A cluster of equal values counts as one.
    """
    if len(set(values)) == 1:
        count = len(values if clusters is None else set(clusters))
        return score_interval(float(values[0]), count, confidence, len(values))
    return mean(values, confidence, clusters=clusters)


def mean_difference(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean of paired differences with its bootstrap interval; entry i of both is trial i."""
    return mean([a - b for a, b in zip(first, second, strict=True)], confidence)


def sign_flip_mean(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean of paired differences: their signs are flipped (exactly for up to 13 of them)."""
    if not any(differences):
        return 1.0
    from scipy.stats import permutation_test

    found = permutation_test(
        (list(differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES - 1,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _by_cluster(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sum and the size of each cluster."""
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for index, value in enumerate(values):
        groups[index if clusters is None else clusters[index]].append(value)
    rows = list(groups.values())
    return np.array([sum(row) for row in rows], np.float64), np.array([len(row) for row in rows], np.float64)
