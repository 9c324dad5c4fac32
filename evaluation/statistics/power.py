"""How many trials a plan needs: the exact power of McNemar's test and of the sequential rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.betting import stakes_of
from evaluation.statistics.binomial import binomial
from evaluation.statistics.group_sequential import chance_of_better
from evaluation.statistics.rules import Rule, bounds_of, points_of

MOST_PAIRS = 900
DRAWS = 200


@dataclass(frozen=True)
class Effect:
    """Chances of a discordant pair at the smallest difference worth seeing.

    Attributes:
        better: that the better policy alone succeeds.
        worse: that the worse one alone does.
    """

    better: float
    worse: float

    @property
    def discordant(self) -> float:
        """Chance that a pair is discordant."""
        return self.better + self.worse

    @property
    def win_rate(self) -> float:
        """Share of the discordant pairs that the better policy wins."""
        return self.better / self.discordant


def effect_of(smallest: float, expected: float | None = None, agreement: float = 0.0) -> Effect:
    """Returns the effect of a difference of success rates.

    Args:
        smallest: difference worth seeing, in (0, 1].
        expected: success rate of the worse policy; by default the one that asks for the most trials.
        agreement: correlation of the two policies' outcomes at one start. 0 asks for more trials than a positive one.

    Raises:
        ValueError: rates outside [0, 1], or a correlation that they do not allow.
    """
    worse = (1 - smallest) / 2 if expected is None else expected
    better = worse + smallest
    if not 0 < smallest <= 1 or not 0 <= worse <= better <= 1:
        raise ValueError(f"rates: got {worse:.2f} and {better:.2f}, expected both between 0 and 1, the second larger")
    both = worse * better + agreement * math.sqrt(worse * (1 - worse) * better * (1 - better))
    effect = Effect(better - both, worse - both)
    if effect.worse < -1e-12 or both < 0 or 1 - effect.discordant - both < -1e-12:
        raise ValueError(f"agreement: got {agreement}, which rates of {worse:.2f} and {better:.2f} do not allow")
    return replace(effect, worse=max(0.0, effect.worse))


def power(rule: Rule, effect: Effect) -> float:
    """Returns the probability that the rule shows the better policy to be better.

    Exact for "fixed" and "anytime"; for "group_sequential", whose boundaries depend on all earlier looks, see there.
    """
    if rule.name == "group_sequential":
        return group_sequential_power(rule, effect)
    if rule.name == "fixed":
        return mcnemar_power(effect, rule.pairs, rule.alpha)
    return anytime_power(effect, rule.pairs, rule.alpha, rule.stake)


def mcnemar_power(effect: Effect, pairs: int, alpha: float) -> float:
    """Returns the exact power of McNemar's exact test: the sum over all numbers of discordant pairs."""
    from scipy.special import bdtr, bdtrc

    chances = binomial(pairs, effect.discordant)
    total = 0.0
    for count in range(1, pairs + 1):
        wins = critical(count, alpha)
        if wins <= count:
            total += chances[count] * float(
                bdtrc(wins - 1, count, effect.win_rate) + bdtr(count - wins, count, effect.win_rate)
            )
    return total


@lru_cache(maxsize=16384)
def critical(discordant: int, alpha: float) -> int:
    """Returns the wins from which McNemar's exact test rejects; `discordant` + 1 if it never does."""
    tails = 2 * np.cumsum(binomial(discordant, 0.5)[::-1])[::-1]
    allowed = np.flatnonzero(tails <= alpha + 1e-12)
    return int(allowed[0]) if len(allowed) else discordant + 1


def anytime_power(effect: Effect, pairs: int, alpha: float, planned: float | None = None) -> float:
    """Returns the exact power of the anytime rule: the chance that its capital reaches the threshold by `pairs` pairs.

    The capital of binary outcomes depends on wins and losses alone, so their joint distribution is followed pair by
    pair.
    """
    return float(_crossed(effect, pairs, alpha, planned)[-1])


def anytime_length(effect: Effect, pairs: int, alpha: float, planned: float | None = None) -> float:
    """Returns the expected number of pairs until the anytime rule decides, `pairs` at most."""
    return 1.0 + float((1 - _crossed(effect, pairs, alpha, planned)[:-1]).sum())


def _crossed(effect: Effect, pairs: int, alpha: float, planned: float | None) -> NDArray[np.float64]:
    """Returns the chance that either side's capital has reached 2 / alpha by each number of pairs."""
    k = np.arange(pairs + 1)
    stakes, shares = stakes_of(planned)
    up, down = np.exp(np.outer(k, np.log1p(stakes))), np.exp(np.outer(k, np.log1p(-stakes)))
    stops = (up * shares) @ down.T >= 2 / alpha
    stops |= stops.T
    alive = np.zeros((pairs + 1, pairs + 1))
    alive[0, 0] = 1.0
    gone, found = 0.0, []
    for _ in range(pairs):
        moved = alive * (1 - effect.discordant)
        moved[1:, :] += alive[:-1, :] * effect.better
        moved[:, 1:] += alive[:, :-1] * effect.worse
        gone += float(moved[stops].sum())
        moved[stops] = 0.0
        alive = moved
        found.append(gone)
    return np.array(found)


def group_sequential_power(rule: Rule, effect: Effect) -> float:
    """Returns the power at planned looks: exact given how many pairs are discordant, which is drawn `DRAWS` times."""
    points = points_of(rule)
    steps = np.diff([0, *points])
    draws = np.random.default_rng(0).binomial(steps, effect.discordant, size=(DRAWS, len(steps))).cumsum(axis=1)
    found = [chance_of_better(bounds_of(rule, tuple(row)), effect.win_rate) for row in draws.tolist()]
    return float(np.mean(found))


def pairs_needed(rule: Rule, effect: Effect, wanted: float) -> int:
    """Returns the smallest number of pairs with a power of at least `wanted`, also for the next few numbers of pairs.

    Raises:
        ValueError: more than `MOST_PAIRS` would be needed.
    """
    low, high = 1, 8
    while power(replace(rule, pairs=high), effect) < wanted:
        low, high = high, math.ceil(high * 1.5)
        if high > MOST_PAIRS:
            raise ValueError(f"smallest difference: it would need more than {MOST_PAIRS} trials of each policy")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(replace(rule, pairs=middle), effect) >= wanted else (middle, high)
    return high
