"""Confidence intervals and comparisons of success rates, with numpy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, and the number of trials (or pairs of trials) behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedComparison:
    """Two policies on the same trials.

    Attributes:
        both: trials in which both succeeded.
        only_first: in which the first alone did.
        only_second: in which the second alone did.
        neither: in which none did.
        difference: of the success rates, first minus second, with its interval.
        p_value: exact McNemar test, two-sided: how likely so uneven a split of the discordant trials is by chance.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    difference: Estimate
    p_value: float


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion with Wilson's score interval (Wilson 1927); (0, 1) when there were no trials.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes: got {successes} of {n}, expected 0 to {n}")
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    return _score_interval(successes / n, n, confidence)


def _score_interval(p: float, n: int, confidence: float) -> Estimate:
    z = _z(confidence)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if p == 0.0 else middle - half  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if p == 1.0 else middle + half
    return Estimate(p, low, high, n)


def difference(first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE) -> Estimate:
    """Difference of two independent proportions, each (successes, n): Newcombe's hybrid score interval.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10. `n` is the
    smaller of the two.
    """
    a, b = wilson(*first, confidence), wilson(*second, confidence)
    n = min(a.n, b.n)
    if n == 0:
        return Estimate(math.nan, -1.0, 1.0, 0)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, n)


def paired(first: Sequence[bool], second: Sequence[bool], confidence: float = CONFIDENCE) -> PairedComparison:
    """Compares two policies over the same trials; entry i of both is trial i.

    The interval is Newcombe's for paired proportions (Newcombe 1998, "Improved confidence intervals for the difference
    between binomial proportions based on paired data", method 10).

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs: got {len(first)} and {len(second)} trials, expected as many")
    counts = [sum((bool(a), bool(b)) == pair for a, b in zip(first, second)) for pair in _PAIRS]
    both, only_first, only_second, neither = counts
    interval = _paired_interval(both, only_first, only_second, neither, confidence)
    return PairedComparison(both, only_first, only_second, neither, interval, mcnemar(only_first, only_second))


_PAIRS = ((True, True), (True, False), (False, True), (False, False))


def _paired_interval(both: int, only_first: int, only_second: int, neither: int, confidence: float) -> Estimate:
    n = both + only_first + only_second + neither
    if n == 0:
        return Estimate(math.nan, -1.0, 1.0, 0)
    a, b = wilson(both + only_first, n, confidence), wilson(both + only_second, n, confidence)
    down_a, up_a, down_b, up_b = a.value - a.low, a.high - a.value, b.value - b.low, b.high - b.value
    phi, value = _phi(both, only_first, only_second, neither), (only_first - only_second) / n
    low = value - math.sqrt(max(0.0, down_a**2 - 2 * phi * down_a * up_b + up_b**2))
    high = value + math.sqrt(max(0.0, up_a**2 - 2 * phi * up_a * down_b + down_b**2))
    return Estimate(value, low, high, n)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the pairs, with Newcombe's continuity correction when it is positive; 0 when a margin is empty."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    n = both + only_first + only_second + neither
    covariance = float(both * neither - only_first * only_second)
    if covariance > 0.0:
        covariance = max(0.0, covariance - n / 2)
    return covariance / math.sqrt(margins)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test: a fair coin over the discordant pairs; 1 when there are none."""
    n, k = only_first + only_second, min(only_first, only_second)
    tail = float(sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    return min(1.0, 2 * tail)


def mean(values: Sequence[float], confidence: float = CONFIDENCE, *, resamples: int = RESAMPLES) -> Estimate:
    """The mean with its percentile bootstrap interval (Efron 1979); the same values always give the same interval."""
    if not values:
        return Estimate(math.nan, math.nan, math.nan, 0)
    data = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(data), size=(resamples, len(data)))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(data[draws].mean(axis=1), [tail, 100 - tail])
    return Estimate(float(data.mean()), float(low), float(high), len(data))


def mean_fraction(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of values in [0, 1], as `mean`, or with Wilson's interval where all values are the same.

    A bootstrap of equal values has no spread; Wilson's interval is then no narrower than it should be,
    because no values in [0, 1] spread more than zeros and ones.
    """
    if len(set(values)) == 1:
        return _score_interval(float(values[0]), len(values), confidence)
    return mean(values, confidence)


def _z(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: got {confidence}, expected between 0 and 1")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
