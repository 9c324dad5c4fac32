"""What a table of trials shows: rates of arms at tasks, comparisons, the plan's decisions, twin beside reality."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.statistics.arms import Ranking, rank
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.means import mean_fraction
from evaluation.statistics.multiple import holm
from evaluation.statistics.pairs import paired
from evaluation.statistics.prediction_powered import Joined, joined
from evaluation.statistics.proportions import boschloo, clustered_difference, clustered_proportion, counts, difference
from evaluation.statistics.times import successes_per_hour, time_to_success
from evaluation.trials.trial_table import TrialRow, TrialTable

ALL = "all tasks"
DEFAULT_LIMIT_S = 180.0


@dataclass(frozen=True)
class Cell:
    """One arm at one task (or at all); `time_s` is the mean time to success, with failures counted as the limit."""

    task: str
    arm: str
    aborted: int
    strict: Estimate
    soft: Estimate | None
    progress: Estimate | None
    time_s: Estimate | None
    per_hour: Estimate | None


@dataclass(frozen=True)
class Contrast:
    """Two arms at one task (or at all), first minus second.

    Attributes:
        task: the task, or `ALL`.
        first: an arm.
        second: another one.
        method: "paired" (McNemar, Tango) over common blocks, or "unpaired" (Boschloo, Newcombe) without any.
        strict: difference of strict success rates.
        p_value: of its test.
        adjusted: by Holm's method over the comparisons of this task.
        soft: difference of soft success rates; None where it is not judged.
    """

    task: str
    first: str
    second: str
    method: str
    strict: Estimate
    p_value: float
    adjusted: float
    soft: Estimate | None


@dataclass(frozen=True)
class Transfer:
    """One bundle at one task in simulation and in reality: real minus twin, and both in one interval.

    `joined` is None where no real trial has a twin's at the same place.
    """

    task: str
    arm: str
    bundle_sha256: str
    real: Estimate
    twin: Estimate
    difference: Estimate
    joined: Joined | None


@dataclass(frozen=True)
class Analysis:
    """Everything that a table of trials shows; `ranking` holds the decisions of the plan, None without a plan."""

    table: TrialTable
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    ranking: Ranking | None
    transfers: tuple[Transfer, ...]


def analyse(table: TrialTable, twins: Sequence[TrialTable] = ()) -> Analysis:
    """Analyses a table of trials; `twins` are simulated evaluations to set beside it."""
    tasks = table.tasks()
    groups = [*tasks, *([ALL] if len(tasks) > 1 else [])]
    plan = table.plan
    ranking = None
    if plan is not None:
        scores = table.scores(plan.design.measure)
        pairs = table.pairs or tuple(itertools.combinations(scores, 2))
        ranking = rank(plan.rule, scores, [pair for pair in pairs if set(pair) <= set(scores)])
    return Analysis(
        table,
        tuple(_cell(table, task, arm) for task in groups for arm in _arms(table, task)),
        tuple(one for task in groups for one in _contrasts(table, task)),
        ranking,
        tuple(_transfers(table, [row for twin in (table, *twins) for row in twin.judged])),
    )


def _arms(table: TrialTable, task: str) -> list[str]:
    """Returns the arms of a task; of all tasks, those that were tried at every one: the others had other tasks."""
    if task != ALL:
        return table.arms(task)
    return [arm for arm in table.arms() if all(arm in table.arms(one) for one in table.tasks())]


def _rows(table: TrialTable, task: str, arm: str) -> list[TrialRow]:
    return [row for row in table.judged if task in (ALL, row.task) and row.arm == arm]


def _cell(table: TrialTable, task: str, arm: str) -> Cell:
    rows = _rows(table, task, arm)
    places = [(row.task, row.place) for row in rows]
    outcomes = [bool(row.strict) for row in rows]
    soft = [(bool(row.soft), place) for row, place in zip(rows, places) if row.soft is not None]
    progress = [(row.progress, place) for row, place in zip(rows, places) if row.progress is not None]
    timed = [row for row in rows if row.duration_s is not None]
    seconds, solved = [float(row.duration_s or 0) for row in timed], [bool(row.strict) for row in timed]
    is_timed = bool(timed) and max(seconds) > 0
    clusters = [(row.task, row.place) for row in timed]
    return Cell(
        task,
        arm,
        sum(row.strict is None and row.arm == arm and task in (ALL, row.task) for row in table.rows),
        clustered_proportion(outcomes, places),
        clustered_proportion([one for one, _ in soft], [place for _, place in soft]) if soft else None,
        mean_fraction([one for one, _ in progress], clusters=[place for _, place in progress]) if progress else None,
        time_to_success(seconds, solved, _limit_s(table, task), clusters=clusters) if is_timed else None,
        successes_per_hour(seconds, solved) if is_timed else None,
    )


def _limit_s(table: TrialTable, task: str) -> float:
    """Returns the task's time limit; without a plan, the longest trial of any arm."""
    if table.plan is not None:
        return max(one.time_limit_s for one in table.plan.tasks if task in (ALL, one.name))
    return max([row.duration_s or 0.0 for row in table.judged if task in (ALL, row.task)], default=DEFAULT_LIMIT_S)


def _contrasts(table: TrialTable, task: str) -> list[Contrast]:
    arms = _arms(table, task)
    pairs = [one for one in table.pairs or itertools.combinations(arms, 2) if set(one) <= set(arms)]
    found = [_contrast(_rows(table, task, first), _rows(table, task, second), task) for first, second in pairs]
    known = [(pair, one) for pair, one in zip(pairs, found) if one is not None]
    adjusted = holm([one[2] for _, one in known])
    return [
        Contrast(task, *pair, method, strict, p, corrected, soft)
        for (pair, (method, strict, p, soft)), corrected in zip(known, adjusted)
    ]


def _contrast(
    first: Sequence[TrialRow], second: Sequence[TrialRow], task: str
) -> tuple[str, Estimate, float, Estimate | None] | None:
    """Returns method, difference, p-value and difference of soft successes; None without trials of both."""
    if not first or not second:
        return None
    ours, theirs = ({(row.task, row.block): row for row in rows} for rows in (first, second))
    shared = [block for block in ours if block in theirs]
    has_soft = all(row.soft is not None for row in (*first, *second))
    if not shared:
        strict = [counts(bool(row.strict) for row in rows) for rows in (first, second)]
        soft = [counts(bool(row.soft) for row in rows) for rows in (first, second)]
        gap = difference(strict[0], strict[1])
        return "unpaired", gap, boschloo(strict[0], strict[1]), difference(soft[0], soft[1]) if has_soft else None
    left, right = [ours[block] for block in shared], [theirs[block] for block in shared]
    clusters = [(row.task, row.place) for row in left]
    strictly = paired([bool(row.strict) for row in left], [bool(row.strict) for row in right], clusters=clusters)
    softly = paired([bool(row.soft) for row in left], [bool(row.soft) for row in right], clusters=clusters)
    return "paired", strictly.difference, strictly.p_value, softly.difference if has_soft else None


def _transfers(table: TrialTable, rows: Sequence[TrialRow]) -> list[Transfer]:
    real_rows = [row for row in rows if not row.simulated and row.bundle_sha256]
    found = []
    for task, arm, sha256 in dict.fromkeys((row.task, row.arm, row.bundle_sha256) for row in real_rows):
        real = [row for row in real_rows if (row.task, row.arm, row.bundle_sha256) == (task, arm, sha256)]
        twin = [row for row in rows if row.simulated and (row.task, row.bundle_sha256, row.arm) == (task, sha256, arm)]
        if twin:
            found.append(_transfer(task, arm, sha256, real, twin))
    return found


def _transfer(task: str, arm: str, sha256: str, real: Sequence[TrialRow], twin: Sequence[TrialRow]) -> Transfer:
    left = list(twin)
    pairs: list[tuple[bool, bool]] = []
    for row in real:
        match = next((one for one in left if one.place == row.place), None)
        if match is not None:
            left.remove(match)
            pairs.append((bool(row.strict), bool(match.strict)))
    is_paired = len(pairs) == len(real) and bool(left)
    extra = [bool(row.strict) for row in left]
    return Transfer(
        task,
        arm,
        sha256,
        clustered_proportion(*_outcomes(real)),
        clustered_proportion(*_outcomes(twin)),
        clustered_difference(_outcomes(real), _outcomes(twin)),
        joined([one for one, _ in pairs], [other for _, other in pairs], extra) if is_paired else None,
    )


def _outcomes(rows: Sequence[TrialRow]) -> tuple[list[bool], list[str]]:
    """Returns the strict successes and their places."""
    return [bool(row.strict) for row in rows], [row.place for row in rows]
