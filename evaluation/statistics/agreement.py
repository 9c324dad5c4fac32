"""Agreement of two judges: Cohen's kappa (Cohen 1960) with its standard error (Fleiss, Cohen and Everitt 1969)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.estimate import CONFIDENCE, Estimate, z_value
from evaluation.statistics.proportions import clopper_pearson, proportion


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree on the same trials.

    Attributes:
        observed: fraction of the trials that both judged alike.
        kappa: what is left of it beyond chance, of what could be: 1 for all, 0 for chance; NaN where both judges gave
            one and the same answer throughout, which chance would explain as well.
    """

    observed: Estimate
    kappa: Estimate


def agreement(first: Sequence[Hashable], second: Sequence[Hashable], confidence: float = CONFIDENCE) -> Agreement:
    """Computes the agreement of two judges; entry i of both is trial i.

    Kappa's interval is normal on Fisher's scale (atanh), with the standard error of a kappa that is not 0: on its own
    scale it covers too rarely (docs/statistics.md). Where the judges agree on all trials, or on none, that error is 0,
    and the other end is the kappa of Clopper and Pearson's end of the observed agreement. Trials count as independent.

    Raises:
        ValueError: not one answer of each judge for each trial.
    """
    if len(first) != len(second):
        raise ValueError(f"answers: got {len(first)} and {len(second)}, expected as many of both judges")
    n = len(first)
    if not n:
        return Agreement(proportion(0, 0), Estimate(math.nan, -1.0, 1.0, 0))
    table = contingency(first, second)
    same = round(float(np.trace(table)))
    shares = table / n
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    observed = proportion(same, n, confidence)
    if by_chance == 1.0:
        return Agreement(observed, Estimate(math.nan, -1.0, 1.0, n))
    value = (same / n - by_chance) / (1.0 - by_chance)
    if abs(value) == 1.0:
        exact = clopper_pearson(same, n, confidence)
        low, high = ((end - by_chance) / (1.0 - by_chance) for end in (exact.low, exact.high))
        return Agreement(observed, Estimate(value, max(-1.0, low), min(1.0, high), n))
    half = z_value(confidence) * standard_error(table) / (1.0 - value**2)
    low, high = (math.tanh(math.atanh(value) + side * half) for side in (-1.0, 1.0))
    return Agreement(observed, Estimate(value, low, high, n))


def contingency(first: Sequence[Hashable], second: Sequence[Hashable]) -> NDArray[np.float64]:
    """Counts of each pair of answers, (K, K): rows are the first judge's."""
    answers = {one: number for number, one in enumerate(dict.fromkeys([*first, *second]))}
    table = np.zeros((len(answers), len(answers)))
    for one, other in zip(first, second, strict=True):
        table[answers[one], answers[other]] += 1
    return table


def standard_error(table: NDArray[np.float64]) -> float:
    """Large-sample standard error of kappa, of a (K, K) table of counts whose answers are not all the same."""
    n = float(table.sum())
    shares = table / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    agreed, by_chance = float(np.trace(shares)), float(rows @ columns)
    kappa = (agreed - by_chance) / (1.0 - by_chance)
    on = float(np.diag(shares) @ (1.0 - (rows + columns) * (1.0 - kappa)) ** 2)
    sums = (rows[None, :] + columns[:, None]) ** 2
    off = (1.0 - kappa) ** 2 * float((shares * (sums - np.diag(np.diag(sums)))).sum())
    extra = (kappa - by_chance * (1.0 - kappa)) ** 2
    return math.sqrt(max(0.0, on + off - extra) / n) / (1.0 - by_chance)
