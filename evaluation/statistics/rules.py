"""Rules of a plan for when to stop, and what they say of two policies on the same trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np

from evaluation.statistics.betting import anytime_p_values, difference_sequence
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.group_sequential import Look, Spending, looks, wins_of
from evaluation.statistics.means import mean
from evaluation.statistics.pairs import mcnemar, tango

RuleName = Literal["fixed", "group_sequential", "anytime"]


class Verdict(str, Enum):
    """What a comparison says."""

    GO_ON = "go on"
    FIRST = "first is better"
    SECOND = "second is better"
    NO_USE = "no use to go on"
    NOT_SHOWN = "no difference shown"


BETTER = (Verdict.FIRST, Verdict.SECOND)
"""Verdicts by which one policy was shown to be better."""


@dataclass(frozen=True)
class Rule:
    """When two policies are compared, and at what error rate.

    Attributes:
        name: "fixed": once, after all pairs; "group_sequential": at a few planned looks, best for small differences;
            "anytime": after every pair, best for large ones.
        pairs: planned number of pairs, at which the comparison ends.
        alpha: two-sided error rate.
        smallest: smallest difference of success rates worth seeing.
        looks: number of looks, for "group_sequential".
        spending: how the error rate is spread over them.
        win_rate: share of the discordant pairs that the better policy wins at the smallest difference.
        beta: probability of missing the smallest difference.
    """

    name: RuleName
    pairs: int
    alpha: float = 0.05
    smallest: float = 0.2
    looks: int = 4
    spending: Spending = "obrien_fleming"
    win_rate: float | None = None
    beta: float = 0.2

    @property
    def stake(self) -> float | None:
        """The stake whose capital grows fastest at the smallest difference (Kelly 1956)."""
        return None if self.win_rate is None else 2 * self.win_rate - 1


@dataclass(frozen=True)
class Decision:
    """What a rule says after some pairs.

    Attributes:
        verdict: what to do, or what was shown.
        after: number of pairs at which it was made; later pairs do not change it.
        difference: first minus second, over all pairs seen, with the interval that the rule allows at this moment; None
            before the first look.
        p_value: two-sided and valid under the rule; nan where the rule allows none yet.
    """

    verdict: Verdict
    after: int
    difference: Estimate | None
    p_value: float


def decide(rule: Rule, differences: Sequence[float]) -> Decision:
    """Applies a rule to paired differences in [-1, 1] (success or partial credit), in the order they were made."""
    made = list(differences[: rule.pairs])
    return {"fixed": _fixed, "group_sequential": _group_sequential, "anytime": _anytime}[rule.name](rule, made)


def _fixed(rule: Rule, made: Sequence[float]) -> Decision:
    """Decides after all pairs, or earlier if no outcome of the remaining ones could change the decision."""
    n, left = len(made), rule.pairs - len(made)
    won, discordant = wins_of(made)
    lost = discordant - won
    p_value = mcnemar(won, lost) if left == 0 else math.nan
    leader = Verdict.FIRST if won > lost else Verdict.SECOND
    high, low = max(won, lost), min(won, lost)
    if high > low + left and mcnemar(high, low + left) <= rule.alpha:
        verdict = leader
    elif mcnemar(high + left, low) > rule.alpha:
        verdict = Verdict.NO_USE if left else Verdict.NOT_SHOWN
    else:
        verdict = Verdict.GO_ON
    shown = verdict is not Verdict.GO_ON and left == 0
    return Decision(verdict, n, _interval(made, 1 - rule.alpha) if shown else None, p_value)


def points_of(rule: Rule) -> tuple[int, ...]:
    """Returns the numbers of pairs at which a group-sequential rule looks."""
    return tuple(math.ceil(rule.pairs * (index + 1) / rule.looks) for index in range(rule.looks))


def bounds_of(rule: Rule, discordant: tuple[int, ...]) -> tuple[Look, ...]:
    """Returns the boundaries of the looks made so far, given the discordant pairs at each."""
    fractions = tuple(point / rule.pairs for point in points_of(rule)[: len(discordant)])
    return looks(discordant, fractions, rule.alpha, rule.spending, win_rate=rule.win_rate, beta=rule.beta)


def _group_sequential(rule: Rule, made: Sequence[float]) -> Decision:
    decision = Decision(Verdict.GO_ON, len(made), None, math.nan)
    seen = [(point, *wins_of(made[:point])) for point in points_of(rule) if point <= len(made)]
    bounds = bounds_of(rule, tuple(discordant for _, _, discordant in seen))
    for (point, won, discordant), bound in zip(seen, bounds, strict=True):
        verdict = _at_look(won, discordant, bound.better, bound.no_use, point == rule.pairs)
        level = 1 - bound.nominal if bound.nominal > 0 else 1 - 1e-9
        decision = Decision(verdict, point, _interval(made[:point], level), math.nan)
        if verdict is not Verdict.GO_ON:
            break
    return decision


def _at_look(won: int, discordant: int, better: int, no_use: int, is_last: bool) -> Verdict:
    lost = discordant - won
    if max(won, lost) >= better:
        return Verdict.FIRST if won > lost else Verdict.SECOND
    if is_last:
        return Verdict.NOT_SHOWN
    return Verdict.NO_USE if max(won, lost) <= no_use else Verdict.GO_ON


def _anytime(rule: Rule, made: Sequence[float]) -> Decision:
    if not made:
        return Decision(Verdict.GO_ON, 0, None, 1.0)
    values = [(1.0 + one) / 2 for one in made]
    p_values = anytime_p_values(values, 0.5, rule.stake)
    interval = difference_sequence(made, 1 - rule.alpha, rule.stake)
    crossed = np.flatnonzero(p_values <= rule.alpha)
    if len(crossed):
        at = int(crossed[0]) + 1
        verdict = Verdict.FIRST if sum(made[:at]) > 0 else Verdict.SECOND
        return Decision(verdict, at, interval, float(p_values[-1]))
    if interval.high < rule.smallest and interval.low > -rule.smallest:
        verdict = Verdict.NO_USE
    else:
        verdict = Verdict.NOT_SHOWN if len(made) >= rule.pairs else Verdict.GO_ON
    return Decision(verdict, len(made), interval, float(p_values[-1]))


def _interval(made: Sequence[float], confidence: float) -> Estimate:
    """Returns the mean difference with Tango's interval, or a bootstrap interval for partial credit."""
    if set(made) <= {-1, 0, 1}:
        won, discordant = wins_of(made)
        return tango(won, discordant - won, len(made), confidence)
    return mean(made, confidence)
