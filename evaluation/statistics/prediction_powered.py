"""Simulation and reality in one interval: few real trials, each with a trial of the twin at the same start, and many
more trials of the twin at other starts of the same distribution.

The real trials correct the twin's bias, so the intervals are valid however wrong the twin is; how much narrower they
are depends on how well it predicts each real trial. They stand beside the interval of the real trials alone, never
instead of it. After SureSim (Badithela et al. 2025, arXiv 2510.04354) and prediction-powered inference (Angelopoulos et
al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.betting import bounded_mean
from evaluation.statistics.binomial import binomial
from evaluation.statistics.estimate import CONFIDENCE, Estimate
from evaluation.statistics.proportions import clopper_pearson, proportion

TWIN_SHARE = 0.02
"""Share of the error rate that is spent on not knowing the twin's own success rate."""
BOX_SHARE = 0.02
"""Share that is spent on bounding the two real rates before the worst of them is sought (Berger and Boos 1994)."""
NUISANCES = 41
"""Real rates q1 where the twin succeeded that are tried for the worst."""
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Joined:
    """A real success rate, from the real trials alone and with the twin's.

    Attributes:
        plain: of the real trials alone.
        joined: with the twin's; `n` is the number of real trials.
        twin: the twin's own success rate over all its trials.
        correlation: between real and twin over the pairs; nan where one of them never varies.
    """

    plain: Estimate
    joined: Estimate
    twin: Estimate
    correlation: float


def joined(real: Sequence[bool], twin: Sequence[bool], extra: Sequence[bool], confidence: float = CONFIDENCE) -> Joined:
    """Joins real trials with a twin's.

    Args:
        real: outcomes of the real trials.
        twin: outcome of the twin at the start of each.
        extra: outcomes of the twin at other starts, drawn from the same distribution as the real ones.
        confidence: level of the intervals.

    Raises:
        ValueError: not one trial of the twin for each real one.
    """
    _expect_pairs(real, twin)
    everything = [*map(bool, twin), *map(bool, extra)]
    varies = len(set(real)) > 1 and len(set(twin)) > 1
    return Joined(
        plain=proportion(sum(map(bool, real)), len(real), confidence),
        joined=stratified(real, twin, extra, confidence),
        twin=proportion(sum(everything), len(everything), confidence),
        correlation=float(np.corrcoef(np.array(real, float), np.array(twin, float))[0, 1]) if varies else float("nan"),
    )


def rectified(
    real: Sequence[float], twin: Sequence[float], extra: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate:
    """Mean of real scores in [0, 1] by SureSim's way: the twin's mean, rectified by the pairs, with betting intervals.

    Each real trial gets its share of the extra trials of the twin; real - weight x (twin - mean of the share) has the
    mean of the real scores whatever the twin is. The weight of a trial is fitted to the pairs before it, so it is known
    when its trial is made. Finite-sample valid for any scores in [0, 1].

    Raises:
        ValueError: not one trial of the twin for each real one, or fewer extra trials than real ones.
    """
    _expect_pairs(real, twin)
    n = len(real)
    if len(extra) < n:
        raise ValueError(f"extra: got {len(extra)} trials of the twin, expected at least {n}, one for each real trial")
    if n == 0:
        return bounded_mean([], confidence)
    share = len(extra) // n
    y, f = np.array(real, np.float64), np.array(twin, np.float64)
    shares = np.array(extra[: share * n], np.float64).reshape(n, share).mean(axis=1)
    weights = np.array([_weight(y[:index], f[:index], share) for index in range(n)])
    values = (y - weights * (f - shares) + 1.0) / 3.0  # from [-1, 2]
    found = bounded_mean(values.tolist(), confidence, spread=1 / 6)
    value, low, high = (3.0 * one - 1.0 for one in (found.value, found.low, found.high))
    return Estimate(value, max(0.0, low), min(1.0, high), n)


def _weight(y: Floats, f: Floats, share: int) -> float:
    """Returns the weight with the least variance over past pairs, drawn towards 1/2 while there are few of them."""
    prior, count = 4.0, len(y)
    covariance = (0.125 * prior + (np.sum((y - y.mean()) * (f - f.mean())) if count else 0.0)) / (prior + count)
    variance = (0.25 * prior + (np.sum((f - f.mean()) ** 2) if count else 0.0)) / (prior + count)
    return float(np.clip(covariance / (variance * (1 + 1 / share)), 0.0, 1.0))


def stratified(
    real: Sequence[bool], twin: Sequence[bool], extra: Sequence[bool], confidence: float = CONFIDENCE
) -> Estimate:
    """Real success rate with an exact interval, by the twin's outcome: where it succeeded, and where it failed.

    The rate is w q1 + (1 - w) q0, where w is the twin's success rate and q1, q0 are the real rates at starts where the
    twin succeeded and failed. Given the twin's outcomes the real successes are two independent binomials; a bound is
    the rate at which as large (small) a studentised estimate becomes as rare as the error rate allows, at the worst w,
    q1 and q0 in Clopper and Pearson's intervals of these (Berger and Boos 1994). Finite-sample valid, up to the grid on
    which the worst is sought; the intervals cost `TWIN_SHARE` and `BOX_SHARE` of the error rate.

    Raises:
        ValueError: not one trial of the twin for each real one.
    """
    _expect_pairs(real, twin)
    if not real:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    alpha, everything = 1 - confidence, [*map(bool, twin), *map(bool, extra)]
    rate = clopper_pearson(sum(everything), len(everything), 1 - TWIN_SHARE * alpha)
    trials = np.array([sum(map(bool, twin)), len(twin) - sum(map(bool, twin))])
    wins = np.array([sum(bool(y) for y, f in zip(real, twin) if bool(f) is kind) for kind in (True, False)])
    strata = _Strata(trials, rate, tuple(_box(int(k), int(n), BOX_SHARE * alpha / 2) for k, n in zip(wins, trials)))
    mirrored = _Strata(trials, rate, tuple((1 - high, 1 - low) for low, high in strata.boxes))
    tail = (1 - TWIN_SHARE - BOX_SHARE) * alpha / 2
    value = float(strata.estimates[wins[0], wins[1]])
    return Estimate(value, strata.bound(wins, tail), 1 - mirrored.bound(trials - wins, tail), len(real))


def _box(wins: int, n: int, alpha: float) -> tuple[float, float]:
    found = clopper_pearson(wins, n, 1 - alpha)
    return found.low, found.high


class _Strata:
    """Real trials where the twin succeeded and where it failed.

    Args:
        trials: number of each; shape (2,).
        twin: the twin's success rate with its interval.
        boxes: (low, high) of the real rate of each.
    """

    def __init__(self, trials: Counts, twin: Estimate, boxes: tuple[tuple[float, float], ...]) -> None:
        self._trials, self.boxes, weight = trials, boxes, twin.value
        self._weights = np.clip(np.linspace(twin.low, twin.high, 5), 1e-9, 1 - 1e-9)
        rates = [np.arange(n + 1) / n if n else np.array([0.5]) for n in trials]  # 1/2 stands for an empty stratum
        smooth = [(np.arange(n + 1) + 1) / (n + 2) for n in trials]
        first, second = (rate * (1 - rate) / max(1, n) for rate, n in zip(smooth, trials))
        gaps = smooth[0][:, None] - smooth[1][None, :]
        variance = weight**2 * first[:, None] + (1 - weight) ** 2 * second[None, :]
        self.estimates: Floats = weight * rates[0][:, None] + (1 - weight) * rates[1][None, :]
        self._errors: Floats = np.sqrt(variance + gaps**2 * weight * (1 - weight) / twin.n)

    def bound(self, wins: Counts, tail: float) -> float:
        """Returns the smallest rate at which a result at least as far above it has a chance above `tail`.

        Results are ordered by their distance from the rate in standard errors, so that a twin that tells the strata
        apart (small errors) is rewarded.
        """
        low, high = 0.0, float(self.estimates[wins[0], wins[1]])
        if self._is_possible(0.0, wins, tail):
            return 0.0
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if self._is_possible(middle, wins, tail) else (middle, high)
        return low

    def _is_possible(self, rate: float, wins: Counts, tail: float) -> bool:
        distance = (self.estimates - rate) / self._errors
        reached = (distance >= distance[wins[0], wins[1]] - 1e-9).astype(np.float64)
        return any(self._worst(reached, rate, float(weight)) > tail for weight in self._weights)

    def _worst(self, reached: Floats, rate: float, weight: float) -> float:
        """Returns the largest chance of the results over all pairs of real rates in the boxes that make the rate."""
        (low, high), (least, most) = self.boxes
        low = max(low, (rate - (1 - weight) * most) / weight)
        high = min(high, (rate - (1 - weight) * least) / weight)
        if low > high:
            return 0.0
        first = np.linspace(low, high, NUISANCES)
        second = np.clip((rate - weight * first) / (1 - weight), 0.0, 1.0)
        chances = binomial(int(self._trials[0]), first) * (reached @ binomial(int(self._trials[1]), second))
        return float(chances.sum(axis=0).max())


def _expect_pairs(real: Sequence[object], twin: Sequence[object]) -> None:
    if len(real) != len(twin):
        raise ValueError(f"twin: got {len(twin)} trials, expected {len(real)}, one at the start of each real trial")
