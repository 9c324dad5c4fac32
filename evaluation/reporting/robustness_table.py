"""Tables of success against perturbations, for the report."""

from __future__ import annotations

import math

from evaluation.reporting.grid import Grid
from evaluation.reporting.results import Results
from evaluation.reporting.robustness import rankings, robustness
from evaluation.reporting.table import interval, points
from evaluation.statistics.estimate import Estimate

UNPERTURBED = "none"


def robustness_grids(results: Results) -> list[Grid]:
    """Returns the tables that a report has where trials were perturbed: success, and the ranking of policies."""
    curves, found = robustness(results), rankings(results)
    success = tuple(
        (
            curve.policy,
            curve.task,
            curve.robot,
            point.perturb or UNPERTURBED,
            interval(point.success),
            str(point.success.n),
            points(point.difference) if point.perturb else "-",
        )
        for curve in curves
        for point in curve.points
    )
    ranks = tuple(
        (one.task, one.perturb, str(len(one.policies)), number(one.ranking.pearson), number(one.ranking.violation))
        for one in found
    )
    columns = ("policy", "task", "robot", "perturbation", "success", "trials", "points")
    grids = [
        Grid("robustness", "Success under perturbations, in points against the unperturbed twin", columns, success),
        Grid("ranking", "The unperturbed twin's ranking under perturbations", RANKING, ranks),
    ]
    return [grid for grid in grids if grid.rows]


RANKING = ("task", "perturbation", "policies", "Pearson r", "mean maximum rank violation")


def number(estimate: Estimate) -> str:
    """Returns a number with its 95 % interval, e.g. "0.93 [0.81, 0.98]"; "-" if there is none."""
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
