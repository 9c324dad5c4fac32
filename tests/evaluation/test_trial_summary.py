"""The line about a trial that a person reads."""

from __future__ import annotations

import pytest

from evaluation.plans.trial import Outcome
from evaluation.records.summary import succeeded, summary
from evaluation.stages.judge import Verdict
from evaluation.step import RunEnd

DONE, LIMIT, BROKEN = (
    RunEnd("done", "", 31),
    RunEnd("max_steps", "no 'done' within 9 decisions", 9),
    RunEnd("robot_failed", "e-stop", 1),
)
SEEN = Verdict(Outcome.SUCCESS, target_distance_m=1.26, target_visible=True)
HIDDEN = Verdict(Outcome.FAILURE, target_distance_m=3.0, target_visible=False)
UNKNOWN = Verdict(Outcome.ABORTED, "nobody judged it")


@pytest.mark.parametrize(
    ("verdict", "end", "driven_m", "line"),
    [
        (SEEN, DONE, 4.24, "success: done after 31 decisions, 4.2 m driven; nearest target 1.3 m away, in sight"),
        (HIDDEN, DONE, 0.0, "failure: done after 31 decisions, 0.0 m driven; nearest target 3.0 m away, not in sight"),
        (Verdict(Outcome.FAILURE), LIMIT, None, "failure: max steps after 9 decisions; no 'done' within 9 decisions"),
        (UNKNOWN, DONE, None, "not judged: done after 31 decisions; nobody judged it"),
        (Verdict(Outcome.ABORTED, "e-stop"), BROKEN, None, "aborted: robot failed after 1 decision; e-stop"),
    ],
)
def test_a_line_says_what_became_of_a_trial(verdict: Verdict, end: RunEnd, driven_m: float | None, line: str) -> None:
    assert summary(verdict, end, driven_m) == line


def test_a_trial_succeeds_unless_it_broke_off_or_was_judged_a_failure() -> None:
    assert succeeded(DONE, "success")
    assert succeeded(LIMIT, "")
    assert succeeded(DONE, UNKNOWN.outcome.value)
    assert not succeeded(DONE, "failure")
    assert not succeeded(BROKEN, "aborted")
