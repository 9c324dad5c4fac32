"""Success rates: intervals of one, of the difference of two independent ones, and their exact test."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from evaluation.statistics.estimate import CONFIDENCE, Estimate, expect_confidence, z_value

EDGE = 5
"""Fewer successes, or fewer failures, than this: near the edge, where Wilson's interval covers too rarely."""


def proportion(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A success rate: Wilson's interval, or Clopper and Pearson's within `EDGE` trials of none or all.

    (0, 1) when there were no trials. The rule's exact coverage is in docs/statistics.md.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    near = min(successes, n - successes) < EDGE
    return (clopper_pearson if near else wilson)(successes, n, confidence)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion with Wilson's score interval (Wilson 1927); (0, 1) when there were no trials.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    _expect_counts(successes, n)
    return score_interval(successes / n, n, confidence) if n else Estimate(math.nan, 0.0, 1.0, 0)


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion with the exact interval of Clopper and Pearson (1934); (0, 1) when there were no trials.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    _expect_counts(successes, n)
    return exact_interval(successes / n, n, n, confidence) if n else Estimate(math.nan, 0.0, 1.0, 0)


def clustered_proportion(
    outcomes: Sequence[bool], clusters: Sequence[Hashable], confidence: float = CONFIDENCE
) -> Estimate:
    """A success rate of trials that are alike within clusters, e.g. repeats at one place.

    The interval is `proportion`'s with the effective number of trials (Korn and Graubard 1998): n divided by the design
    effect, which is estimated from the spread between clusters, and by the loss of degrees of freedom. Where all trials
    had the same outcome no spread can be seen, and a cluster counts as one trial. Without repeats it is `proportion`.

    Raises:
        ValueError: not one cluster for each outcome.
    """
    n, successes = len(outcomes), sum(map(bool, outcomes))
    rate = successes / n if n else math.nan
    effective = effective_size([float(one) for one in outcomes], clusters, rate * (1 - rate))
    if effective >= n:
        return proportion(successes, n, confidence)
    near = min(rate, 1 - rate) * effective < EDGE
    return exact_interval(rate, effective, n, confidence) if near else score_interval(rate, effective, confidence, n)


def effective_size(values: Sequence[float], clusters: Sequence[Hashable], variance: float) -> float:
    """Returns how many independent values tell as much of the mean as these, at most as many as there are.

    Args:
        values: the values.
        clusters: the cluster of each.
        variance: of one value, if all were independent.

    Raises:
        ValueError: not one cluster for each value.
    """
    if len(values) != len(clusters):
        raise ValueError(f"clusters: got {len(clusters)} for {len(values)} values, expected as many")
    n, mean = len(values), sum(values) / len(values) if values else 0.0
    deviations: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters):
        deviations[cluster] += value - mean
    count = len(deviations)
    if count == n or n == 0:
        return float(n)
    if count == 1 or variance == 0.0:
        return float(count)
    spread = count / (count - 1) * sum(one * one for one in deviations.values()) / n**2
    from scipy.special import stdtrit

    lost = float(stdtrit(n - 1, 0.975) / stdtrit(count - 1, 0.975)) ** 2
    return float(n) if spread == 0.0 else min(float(n), variance / spread * lost)


def score_interval(p: float, n: float, confidence: float, count: int | None = None) -> Estimate:
    """Returns Wilson's interval of a mean `p` of values in [0, 1]; `n` may be a fraction, `count` is what is shown."""
    z = z_value(confidence)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if p == 0.0 else middle - half  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if p == 1.0 else middle + half
    return Estimate(p, low, high, int(n) if count is None else count)


def exact_interval(p: float, n: float, count: int, confidence: float) -> Estimate:
    """Returns Clopper and Pearson's interval; `n` may be an effective number of trials, `count` is what is shown."""
    from scipy.special import betaincinv

    tail, successes = (1 - expect_confidence(confidence)) / 2, p * n
    low = 0.0 if p == 0.0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if p == 1.0 else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Estimate(p, low, high, count)


def difference(first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE) -> Estimate:
    """Difference of two independent proportions, each (successes, n): Newcombe's hybrid score interval.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10. `n` is the
    smaller of the two.
    """
    return difference_of(wilson(*first, confidence), wilson(*second, confidence))


def difference_of(first: Estimate, second: Estimate) -> Estimate:
    """Difference of two independent rates with any intervals, joined as Newcombe's method 10 joins Wilson's."""
    n = min(first.n, second.n)
    if n == 0:
        return Estimate(math.nan, -1.0, 1.0, 0)
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, max(-1.0, low), min(1.0, high), n)


def clustered_difference(
    first: tuple[Sequence[bool], Sequence[Hashable]],
    second: tuple[Sequence[bool], Sequence[Hashable]],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Difference of two independent rates, each (outcomes, clusters), by Newcombe's method and effective numbers."""
    return difference_of(_clustered_wilson(*first, confidence), _clustered_wilson(*second, confidence))


def _clustered_wilson(outcomes: Sequence[bool], clusters: Sequence[Hashable], confidence: float) -> Estimate:
    successes, n = counts(outcomes)
    if n == 0:
        return wilson(0, 0, confidence)
    rate = successes / n
    effective = effective_size([float(one) for one in outcomes], clusters, rate * (1 - rate))
    return score_interval(rate, effective, confidence, n)


def boschloo(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p-value of Boschloo's exact test (1970) of two independent proportions, each (successes, n).

    Twice the smaller one-sided value: an unconditional test, never less powerful than Fisher's. 1 without trials.
    """
    if 0 in (first[1], second[1]):
        return 1.0
    from scipy.stats import boschloo_exact

    table = [[first[0], second[0]], [first[1] - first[0], second[1] - second[0]]]
    sides = ("less", "greater") if first[0] * second[1] != second[0] * first[1] else ()
    return min([1.0, *(2 * float(boschloo_exact(table, alternative=side).pvalue) for side in sides)])


def counts(outcomes: Iterable[bool]) -> tuple[int, int]:
    """Returns (successes, n)."""
    known = [bool(one) for one in outcomes]
    return sum(known), len(known)


def _expect_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"successes: got {successes} of {n}, expected 0 to {n}")
