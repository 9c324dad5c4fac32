"""Tests and intervals by betting: they hold at every number of trials at once, so one may look after each trial.

The capital of a gambler who bets against a hypothesis cannot be expected to grow while the hypothesis is true; by
Ville's inequality it ever reaches 1 / alpha with a chance of at most alpha. Waudby-Smith and Ramdas 2024, "Estimating
means of bounded random variables by betting". All values are in [0, 1]; a paired difference d in [-1, 1], of success or
of partial credit, is the value (1 + d) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.estimate import CONFIDENCE, Estimate, expect_confidence

PLANNED = 0.8
"""Part of the capital that bets the stake that the plan's smallest difference makes best; the rest is spread evenly."""
SAFE = 0.75
"""Largest fraction of the capital that a bet chosen from the past risks (Waudby-Smith and Ramdas: 1/2 or 3/4)."""
Floats = NDArray[np.float64]


def stakes_of(planned: float | None = None) -> tuple[Floats, Floats]:
    """Returns fractions of the capital that are bet, and how the capital is divided among them at the start.

    Spread evenly over (0, 1), so that no stake has to be chosen; with `planned` (Kelly's stake for an effect that was
    named before the first trial) most of the capital bets that.
    """
    even = (np.arange(64) + 0.5) / 64
    if planned is None:
        return even, np.full(64, 1 / 64)
    return np.append(even, min(planned, 0.99)), np.append(np.full(64, (1 - PLANNED) / 64), PLANNED)


def e_values(values: Sequence[float] | Floats, mean: float, planned: float | None = None) -> Floats:
    """Returns the capital after each value of who bets that their mean is above `mean`; shape (n,).

    A martingale of expectation 1 at most if each value's mean, given those before, is at most `mean`.
    """
    stakes, shares = stakes_of(planned)
    returns = np.outer(stakes, np.asarray(values, np.float64) / mean - 1.0)
    capital: Floats = shares @ np.exp(np.cumsum(np.log1p(returns), axis=1))
    return capital


def anytime_p_values(values: Sequence[float], mean: float, planned: float | None = None) -> Floats:
    """Returns a two-sided p-value after each value, valid whenever one stops; shape (n,)."""
    data = np.asarray(values, np.float64)
    above, below = e_values(data, mean, planned), e_values(1.0 - data, 1.0 - mean, planned)
    peak = np.maximum.accumulate(np.maximum(above, below)) if len(data) else above
    return np.minimum(1.0, 2.0 / peak)


def confidence_sequence(
    values: Sequence[float], confidence: float = CONFIDENCE, planned: float | None = None
) -> Estimate:
    """The mean of values in [0, 1] with an interval that holds at every number of values at once."""
    data = np.asarray(values, np.float64)
    threshold = math.log(2 / (1 - expect_confidence(confidence)))
    if len(data) == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    low = _lower(lambda mean: _log_mixture(data, mean, planned), threshold, float(data.mean()))
    high = 1.0 - _lower(lambda mean: _log_mixture(1.0 - data, mean, planned), threshold, 1.0 - float(data.mean()))
    return Estimate(float(data.mean()), low, high, len(data))


def difference_sequence(
    differences: Sequence[float], confidence: float = CONFIDENCE, planned: float | None = None
) -> Estimate:
    """The mean of paired differences in [-1, 1] with an interval that holds at every number of pairs at once."""
    found = confidence_sequence([(1.0 + one) / 2 for one in differences], confidence, planned)
    return Estimate(2 * found.value - 1, 2 * found.low - 1, 2 * found.high - 1, found.n)


def bounded_mean(values: Sequence[float], confidence: float = CONFIDENCE, *, spread: float = 0.5) -> Estimate:
    """The mean of values in [0, 1] with an interval for the number of values that was planned.

    Bets are set by the variance seen so far for this number of values, so it is narrower than `confidence_sequence`,
    and may not be looked at earlier. Finite-sample valid for any distribution in [0, 1]; `spread` is the standard
    deviation that is expected before the first value, and only makes the interval narrower or wider.
    """
    data = np.asarray(values, np.float64)
    tail = (1 - expect_confidence(confidence)) / 2
    if len(data) == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    stakes = _planned_stakes(data, tail, spread)
    value, threshold = float(data.mean()), -math.log(tail)
    low = _lower(lambda mean: _log_peak(data, stakes, mean), threshold, value)
    high = 1.0 - _lower(lambda mean: _log_peak(1.0 - data, stakes, mean), threshold, 1.0 - value)
    return Estimate(value, low, high, len(data))


def _planned_stakes(data: Floats, tail: float, expected: float) -> Floats:
    """Returns a bet per unit for each value from the variance of those before it."""
    n, before = len(data), np.arange(1, len(data) + 1)
    means = (0.5 + np.cumsum(data)) / (before + 1)
    spread = (expected**2 + np.cumsum((data - means) ** 2)) / (before + 1)
    variance = np.concatenate([[expected**2], spread[:-1]])
    return np.sqrt(-2 * math.log(tail) / (variance * n))


def _log_mixture(data: Floats, mean: float, planned: float | None) -> float:
    stakes, shares = stakes_of(planned)
    logs = np.log1p(np.outer(stakes, data / mean - 1.0)).sum(axis=1)
    top = float(logs.max())
    return top + math.log(float(shares @ np.exp(logs - top)))


def _log_peak(data: Floats, stakes: Floats, mean: float) -> float:
    """Returns the logarithm of the largest capital that bets on a mean above `mean` reached."""
    capped = np.minimum(stakes, SAFE / mean)
    return float(np.cumsum(np.log1p(capped * (data - mean))).max())


def _lower(capital: Callable[[float], float], threshold: float, value: float) -> float:
    """Returns the smallest mean that the capital does not rule out; the capital falls in the mean."""
    low, high = 0.0, value
    for _ in range(26):
        middle = (low + high) / 2
        if middle <= 0.0:
            break
        low, high = (middle, high) if capital(middle) >= threshold else (low, middle)
    return low
