"""Time to success: how many trials had succeeded by when, and how long a success took where failures count too."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from evaluation.statistics.estimate import CONFIDENCE, Estimate
from evaluation.statistics.means import RESAMPLES, mean


def success_curve(durations_s: Sequence[float], successes: Sequence[bool]) -> list[tuple[float, float]]:
    """Returns (time [s], fraction of all trials that had succeeded by then), at the time of each success.

    A failure never succeeds, however short it was: the curve ends at the success rate.
    """
    times = sorted(time for time, success in zip(durations_s, successes, strict=True) if success)
    return [(time, (index + 1) / len(durations_s)) for index, time in enumerate(times)]


def time_to_success(
    durations_s: Sequence[float],
    successes: Sequence[bool],
    limit_s: float,
    confidence: float = CONFIDENCE,
    *,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """Restricted mean time to success [s] with its bootstrap interval: a failure counts as `limit_s`.

    The area above the success curve up to the limit (Royston and Parmar 2013), so a policy gains neither by giving up
    early nor by succeeding slowly.
    """
    times = [min(time, limit_s) if success else limit_s for time, success in zip(durations_s, successes, strict=True)]
    return mean(times, confidence, clusters=clusters)


def successes_per_hour(
    durations_s: Sequence[float], successes: Sequence[bool], confidence: float = CONFIDENCE
) -> Estimate:
    """Successes per hour of trials, failures' time included, with its bootstrap interval; nan without any time."""
    if not sum(durations_s) > 0:
        return Estimate(float("nan"), float("nan"), float("nan"), len(durations_s))
    times, wins = np.asarray(durations_s, np.float64), np.asarray(successes, np.float64)
    draws = np.random.default_rng(0).integers(len(times), size=(RESAMPLES, len(times)))
    tail = 100 * (1 - confidence) / 2
    rates = 3600 * wins[draws].sum(axis=1) / np.maximum(times[draws].sum(axis=1), 1e-9)
    low, high = np.percentile(rates, [tail, 100 - tail])
    return Estimate(float(3600 * wins.sum() / times.sum()), float(low), float(high), len(times))
