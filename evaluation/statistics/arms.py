"""Several policies on the same trials: every pair decided, with one error rate for all, and the best of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evaluation.statistics.multiple import holm
from evaluation.statistics.rules import BETTER, Decision, Rule, Verdict, decide


@dataclass(frozen=True)
class ArmComparison:
    """Two policies of a plan, the decision, and the p-value adjusted for all comparisons (nan where there is none)."""

    first: str
    second: str
    decision: Decision
    adjusted: float


@dataclass(frozen=True)
class Ranking:
    """Every comparison of a plan, and the policies that no other one has been shown to beat."""

    comparisons: tuple[ArmComparison, ...]
    unbeaten: tuple[str, ...]

    @property
    def best(self) -> str:
        """The one policy that was shown to be the best; empty if it is not known yet."""
        return self.unbeaten[0] if len(self.unbeaten) == 1 else ""

    @property
    def may_stop(self) -> bool:
        """True when no comparison asks for more trials, or the best policy is known."""
        return bool(self.best) or all(one.decision.verdict is not Verdict.GO_ON for one in self.comparisons)


def rank(
    rule: Rule, scores: Mapping[str, Mapping[str, float]], pairs: Sequence[tuple[str, str]] | None = None
) -> Ranking:
    """Compares policies.

    The error rate holds for all comparisons together: by Holm's method where there are p-values (rules "fixed" and
    "anytime"), else by an equal share for each.

    Args:
        rule: of the plan.
        scores: policy -> block -> success or partial credit in [0, 1]; blocks in the order they were made.
        pairs: which to compare; every two by default.
    """
    chosen = list(pairs or itertools.combinations(scores, 2))
    if not chosen:
        return Ranking((), tuple(scores))
    shared = replace(rule, alpha=rule.alpha / len(chosen))
    decisions = [decide(shared, paired_scores(scores[first], scores[second])) for first, second in chosen]
    known = [1.0 if math.isnan(one.p_value) else one.p_value for one in decisions]
    adjusted = holm(known)
    found = []
    for (first, second), decision, p_value in zip(chosen, decisions, adjusted, strict=True):
        may_test = not math.isnan(decision.p_value)
        if may_test and p_value <= rule.alpha and decision.verdict not in BETTER and decision.difference is not None:
            better = Verdict.FIRST if decision.difference.value > 0 else Verdict.SECOND
            decision = replace(decision, verdict=better)
        found.append(ArmComparison(first, second, decision, p_value if may_test else math.nan))
    beaten = {_loser(one) for one in found}
    return Ranking(tuple(found), tuple(name for name in scores if name not in beaten))


def paired_scores(first: Mapping[str, float], second: Mapping[str, float]) -> list[float]:
    """Returns first minus second over the blocks of both, in the order of the first."""
    return [float(first[block]) - float(second[block]) for block in first if block in second]


def _loser(one: ArmComparison) -> str:
    return {Verdict.FIRST: one.second, Verdict.SECOND: one.first}.get(one.decision.verdict, "")
