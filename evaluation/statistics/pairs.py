"""Two policies on the same trials: exact McNemar test with Tango's interval, also with repeats."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.statistics.estimate import CONFIDENCE, Estimate, z_value
from evaluation.statistics.proportions import effective_size


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


def paired(
    first: Sequence[bool],
    second: Sequence[bool],
    confidence: float = CONFIDENCE,
    clusters: Sequence[Hashable] | None = None,
) -> PairedComparison:
    """Compares two policies over the same trials; entry i of both is trial i.

    `clusters` tells which trials are repeats of one another (e.g. the place): the test then flips whole clusters, and
    the interval is that of the effective number of pairs.

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs: got {len(first)} and {len(second)} trials, expected as many")
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second)]
    both, only_first, only_second, neither = (pairs.count(one) for one in _PAIRS)
    n, differences = len(pairs), [int(a) - int(b) for a, b in pairs]
    groups = list(range(n)) if clusters is None else list(clusters)
    size = effective_size(differences, groups, _variance(only_first, only_second, n))
    interval = tango(only_first, only_second, n, confidence, size=size)
    return PairedComparison(both, only_first, only_second, neither, interval, sign_flip(differences, groups))


_PAIRS = ((True, True), (True, False), (False, True), (False, False))


def _variance(only_first: int, only_second: int, n: int) -> float:
    """Returns the variance of one pair's difference."""
    return (only_first + only_second) / n - ((only_first - only_second) / n) ** 2 if n else 0.0


def tango(
    only_first: int, only_second: int, n: int, confidence: float = CONFIDENCE, *, size: float | None = None
) -> Estimate:
    """Difference of two paired proportions with Tango's score interval (Tango 1998).

    Args:
        only_first: pairs in which the first alone succeeded.
        only_second: in which the second alone did.
        n: pairs.
        confidence: level of the interval.
        size: effective number of pairs, if they are not independent.
    """
    if n == 0:
        return Estimate(math.nan, -1.0, 1.0, 0)
    z, scale = z_value(confidence), (size or n) / n
    b, c, count = only_first * scale, only_second * scale, n * scale
    value = (only_first - only_second) / n
    low = -1.0 if value == -1.0 else _root(lambda delta: _tango_score(delta, b, c, count) - z, -1.0, value)
    high = 1.0 if value == 1.0 else _root(lambda delta: _tango_score(delta, b, c, count) + z, value, 1.0)
    return Estimate(value, low, high, n)


def _tango_score(delta: float, b: float, c: float, n: float) -> float:
    """Returns the score statistic of a difference `delta`; falls in `delta`. Tango 1998, equations 6 to 8."""
    linear = (2 * n - b + c) * delta - b - c
    root = math.sqrt(max(0.0, linear**2 + 8 * n * c * delta * (1 - delta)))
    variance = n * (2 * max(0.0, (root - linear) / (4 * n)) + delta * (1 - delta))
    gap = b - c - n * delta
    return gap / math.sqrt(variance) if variance > 1e-300 else math.copysign(math.inf, gap) if gap else 0.0


def _root(falls: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a falling function crosses zero, by bisection: it may be infinite at the ends."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) > 0 else (low, middle)
    return (low + high) / 2


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test: a fair coin over the discordant pairs; 1 when there are none."""
    n, k = only_first + only_second, min(only_first, only_second)
    tail = float(sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    return min(1.0, 2 * tail)


def sign_flip(differences: Sequence[int], clusters: Sequence[Hashable]) -> float:
    """Two-sided exact p-value of whole-numbered differences whose signs are flipped cluster by cluster.

    Under the hypothesis of no difference a cluster's sum is as likely as its negative. With one pair in each cluster
    this is McNemar's exact test (which is used then); with repeats it is the exact form of Durkalski's (2003).
    """
    sums: dict[Hashable, int] = defaultdict(int)
    for difference, cluster in zip(differences, clusters):
        sums[cluster] += difference
    steps = [abs(one) for one in sums.values() if one]
    if all(step == 1 for step in steps):
        wins = sum(one > 0 for one in sums.values())
        return mcnemar(wins, len(steps) - wins)
    reach, seen = sum(steps), abs(sum(sums.values()))
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0  # index reach: a total of 0
    for step in steps:
        chances = (np.roll(chances, step) + np.roll(chances, -step)) / 2  # never reaches the ends before the last step
    totals = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chances[totals >= seen].sum()))
