"""An analysis of trials as tables of text."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from evaluation.reporting.grid import Grid
from evaluation.reporting.table import interval, p_value, points
from evaluation.statistics.agreement import agreement
from evaluation.statistics.arms import Ranking
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.rules import BETTER, Verdict
from evaluation.trials.analysis import Analysis, Transfer


def grids(analysis: Analysis) -> list[Grid]:
    """Returns the tables: design, success, comparisons, decisions, failures, simulation beside reality, two judges."""
    return [
        Grid("design", "Design", ("what", "value"), analysis.table.design),
        _success(analysis),
        _contrasts(analysis),
        _decisions(analysis),
        _failures(analysis),
        _transfers(analysis),
        _judges(analysis),
    ]


def _success(analysis: Analysis) -> Grid:
    header = ("task", "arm", "strict success", "soft success", "progress", "time to success [s]", "per hour", "trials")
    rows = tuple(
        (
            one.task,
            one.arm,
            interval(one.strict),
            interval(one.soft),
            interval(one.progress),
            _number(one.time_s),
            _number(one.per_hour),
            f"{one.strict.n}" + (f" ({one.aborted} aborted)" if one.aborted else ""),
        )
        for one in analysis.cells
    )
    is_timed = any(one.time_s for one in analysis.cells)
    timed = "; a failure counts as the time limit in the mean time to success" if is_timed else ""
    return Grid("success", f"Success with 95 % intervals{timed}", header, rows)


def _contrasts(analysis: Analysis) -> Grid:
    header = ("task", "first", "second", "strict", "soft", "p", "p (Holm)", "blocks", "method")
    rows = tuple(
        (
            one.task,
            one.first,
            one.second,
            points(one.strict),
            points(one.soft) if one.soft else "-",
            p_value(one.p_value),
            p_value(one.adjusted),
            str(one.strict.n),
            one.method,
        )
        for one in analysis.contrasts
    )
    return Grid("comparisons", "Differences in points with 95 % intervals, first minus second, by task", header, rows)


def _decisions(analysis: Analysis) -> Grid:
    plan, ranking = analysis.table.plan, analysis.ranking
    if plan is None or ranking is None:
        return Grid("decisions", "", (), ())
    rule = plan.rule
    rows = tuple(
        (
            one.first,
            one.second,
            _says(one.decision.verdict, one.first, one.second),
            points(one.decision.difference) if one.decision.difference else "not to be looked at yet",
            "-" if math.isnan(one.adjusted) else p_value(one.adjusted),
            f"{one.decision.after} of {rule.pairs}",
        )
        for one in ranking.comparisons
    )
    title = (
        f"Decisions of the plan: rule {rule.name}, measure {plan.design.measure}, error rate {rule.alpha:g} for all"
        f" together, smallest difference {100 * rule.smallest:.0f} points"
    )
    return Grid("decisions", title, ("first", "second", "decision", "difference", "p (Holm)", "blocks"), rows)


def _says(verdict: Verdict, first: str, second: str) -> str:
    names = {Verdict.FIRST: f"{first} is better", Verdict.SECOND: f"{second} is better"}
    return ("you may stop: " if verdict in (*BETTER, Verdict.NO_USE) else "") + names.get(verdict, verdict.value)


def summary(ranking: Ranking) -> str:
    """Returns what to do next in one sentence."""
    if ranking.best:
        return f"You may stop: {ranking.best} is the best."
    if ranking.may_stop:
        return f"You may stop: not shown to be beaten are {', '.join(ranking.unbeaten)}."
    return f"Go on: not yet beaten are {', '.join(ranking.unbeaten)}."


def _failures(analysis: Analysis) -> Grid:
    table = analysis.table
    kinds = list(dict.fromkeys(row.failure for row in table.rows if row.failure))
    arms = table.arms()
    rows = tuple(
        (kind, *(str(sum(row.failure == kind and row.arm == arm for row in table.rows)) for arm in arms))
        for kind in kinds
    )
    return Grid("failures", "Failures by kind", ("kind", *arms), rows)


def _transfers(analysis: Analysis) -> Grid:
    header = ("task", "arm", "bundle", "reality", "twin", "reality - twin", "joined", "correlation")
    return Grid(
        "transfer",
        "Simulation beside reality, by bundle; joined: real success rate from real and twin trials together",
        header,
        tuple(_transfer(one) for one in analysis.transfers),
    )


def _transfer(one: Transfer) -> tuple[str, ...]:
    both = one.joined
    return (
        one.task,
        one.arm,
        one.bundle_sha256[:12],
        f"{interval(one.real)} of {one.real.n}",
        f"{interval(one.twin)} of {one.twin.n}",
        points(one.difference),
        interval(both.joined) if both else "no twin at the same places",
        "-" if both is None or math.isnan(both.correlation) else f"{both.correlation:.2f}",
    )


def _judges(analysis: Analysis) -> Grid:
    seconds, rows = analysis.table.second, list[tuple[str, ...]]()
    for by in dict.fromkeys(one.by for one in seconds):
        own = [one for one in seconds if one.by == by]
        rows.append(_agreed(by, "strict success", [one.strict for one in own]))
        rows.append(_agreed(by, "soft success", [one.soft for one in own if one.soft is not None]))
        rows.append(_agreed(by, "kind of failure", [one.failure for one in own if one.failure is not None]))
    title = "Two judges of the same trials: the one whose verdict counts, and a second one; 95 % intervals"
    header = ("second judge", "of", "trials", "judged alike", "Cohen's kappa")
    return Grid("judges", title, header, tuple(row for row in rows if row[2] != "0"))


def _agreed(by: str, measure: str, answers: Sequence[tuple[Hashable, Hashable]]) -> tuple[str, ...]:
    found = agreement([first for first, _ in answers], [second for _, second in answers])
    kappa = found.kappa
    shown = "not defined: one answer throughout" if math.isnan(kappa.value) else _kappa(kappa)
    return by, measure, str(kappa.n), interval(found.observed), shown


def _kappa(kappa: Estimate) -> str:
    return f"{kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"


def _number(estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"
