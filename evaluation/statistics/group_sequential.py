"""Looks at planned numbers of pairs: exact boundaries for the sign test, with the error rate spent look by look.

Given how many pairs were discordant, which policy won each is a fair coin if the two are equally good, so the chance of
crossing a boundary at any look is computed exactly by recursion on the number of wins: no normal approximation, which
errs at the 10 to 50 pairs of a robot evaluation. Error spending: Lan and DeMets 1983.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.binomial import binomial

Spending = Literal["obrien_fleming", "pocock"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """One look.

    Attributes:
        discordant: discordant pairs so far.
        better: wins from which on the winner is better; the loser's likewise. `discordant` + 1: it cannot be shown yet.
        no_use: wins of the leader up to which it is no use to go on; -1 if there is no such bound.
        nominal: two-sided error rate of this look alone, for its interval.
    """

    discordant: int
    better: int
    no_use: int
    nominal: float


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """Returns how much of the two-sided error rate `alpha` may be spent by a fraction of the planned pairs."""
    if fraction >= 1.0:
        return alpha
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    normal = NormalDist()  # each tail is spent like O'Brien and Fleming's boundary
    return 4 * (1 - normal.cdf(normal.inv_cdf(1 - alpha / 4) / math.sqrt(fraction)))


@lru_cache(maxsize=4096)
def looks(
    discordant: tuple[int, ...],
    fractions: tuple[float, ...],
    alpha: float,
    spending: Spending = "obrien_fleming",
    *,
    win_rate: float | None = None,
    beta: float = 0.2,
) -> tuple[Look, ...]:
    """Returns the boundaries of the looks made so far.

    Args:
        discordant: discordant pairs at each look, not falling.
        fractions: of the planned pairs at each look, rising to 1.
        alpha: two-sided error rate of all looks together; it is never exceeded.
        spending: how it is spread over the looks.
        win_rate: the better policy's share of the discordant pairs at the smallest difference worth seeing; gives the
            bound at which it is no use to go on, which spends the missed-difference rate `beta` in the same way. It is
            non-binding: who goes on in spite of it does not raise the error rate.
        beta: probability of missing the smallest difference worth seeing.
    """
    fair, real = np.ones(1), np.ones(1)
    used = missed = 0.0
    found: list[Look] = []
    before = 0
    for count, fraction in zip(discordant, fractions, strict=True):
        fair, real = _tossed(fair, count - before, 0.5), _tossed(real, count - before, win_rate or 0.5)
        better, cost = _boundary(fair, (spent(fraction, alpha, spending) - used) / 2)
        used += 2 * cost
        no_use, cost = (
            (-1, 0.0) if win_rate is None else _futile(real, spent(fraction, beta, spending) - missed, better)
        )
        missed += cost
        found.append(Look(count, better, no_use, 2 * _tail(count, better)))
        fair, real = (_inside(one, better) for one in (fair, real))
        if no_use >= 0:  # the alternative's paths that stopped; the hypothesis' paths go on: the bound is non-binding
            real[max(0, count - no_use) : no_use + 1] = 0.0
        before = count
    return tuple(found)


def chance_of_better(bounds: Sequence[Look], win_rate: float) -> float:
    """Returns the chance that one of the looks shows a difference, either way, when no-use bounds are obeyed."""
    chances, before, found = np.ones(1), 0, 0.0
    for bound in bounds:
        chances = _tossed(chances, bound.discordant - before, win_rate)
        going = _inside(chances, bound.better)
        found += float(chances.sum() - going.sum())
        if bound.no_use >= 0:
            going[max(0, bound.discordant - bound.no_use) : bound.no_use + 1] = 0.0
        chances, before = going, bound.discordant
    return found


def _tossed(chances: Floats, count: int, win_rate: float) -> Floats:
    """Returns the chances of each number of wins after `count` more discordant pairs."""
    return np.convolve(chances, binomial(count, win_rate))


def _boundary(chances: Floats, budget: float) -> tuple[int, float]:
    """Returns the smallest number of wins whose upper tail costs at most `budget`, and that cost."""
    tails = np.cumsum(chances[::-1])[::-1]
    allowed = np.flatnonzero(tails <= budget + 1e-12)
    allowed = allowed[allowed * 2 > len(chances) - 1]
    return (int(allowed[0]), float(tails[allowed[0]])) if len(allowed) else (len(chances), 0.0)


def _futile(chances: Floats, budget: float, better: int) -> tuple[int, float]:
    """Returns the largest lead (in wins) at which stopping misses at most `budget`, and that cost."""
    count = len(chances) - 1
    best = (-1, 0.0)
    for wins in range((count + 1) // 2, min(better, count + 1)):
        cost = float(chances[count - wins : wins + 1].sum())
        if cost > budget + 1e-12:
            break
        best = (wins, cost)
    return best


def _inside(chances: Floats, better: int) -> Floats:
    """Returns the chances of the paths that go on."""
    kept, count = chances.copy(), len(chances) - 1
    kept[better:] = 0.0
    kept[: max(0, count - better + 1)] = 0.0
    return kept


def _tail(count: int, wins: int) -> float:
    return float(binomial(count, 0.5)[wins:].sum())


def wins_of(differences: Sequence[float]) -> tuple[int, int]:
    """Returns (pairs that the first won, discordant pairs)."""
    won, lost = sum(one > 0 for one in differences), sum(one < 0 for one in differences)
    return won, won + lost
