"""A trial's outcome in one line."""

from __future__ import annotations

from evaluation.plans.trial import Outcome
from evaluation.stages.failure import ABORTS, target_note
from evaluation.stages.judge import Verdict
from evaluation.step import RunEnd
from robots.processes.text import counted


def summary(verdict: Verdict, end: RunEnd, driven_m: float | None = None) -> str:
    """Returns e.g. "success: done after 31 decisions, 4.2 m driven; nearest target 1.3 m away, in sight".

    Args:
        verdict: of the judge.
        end: of the run.
        driven_m: distance driven by the base [m]; None if unknown.
    """
    unjudged = verdict.outcome is Outcome.ABORTED and end.reason not in ABORTS
    word = "not judged" if unjudged else verdict.outcome.value
    driven = "" if driven_m is None else f", {driven_m:.1f} m driven"
    note = verdict.note or target_note(verdict) or end.message
    ended = f"{end.reason.replace('_', ' ')} after {counted(end.steps, 'decision')}{driven}"
    return f"{word}: {ended}" + (note and f"; {note}")


def succeeded(end: RunEnd, outcome: str) -> bool:
    """Returns True if a run was completed and nobody judged it a failure; `outcome` is empty where nobody judged it."""
    judged = outcome in ("", Outcome.SUCCESS.value, Outcome.ABORTED.value)  # a completed run is aborted by no judge
    return end.reason in ("done", "max_steps") and judged
