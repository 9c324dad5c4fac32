"""Classification of failures."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.plans.trial import Outcome
from evaluation.stages.judge import Verdict
from evaluation.step import RunEnd

TARGET_WITHIN_M = 2.0  # CHORES: FLaRe tasks/object_nav_task.py, maxDistance
RECENT = 30
STUCK_FRACTION = 0.5
"""A robot that was blocked in at least this fraction of its last `RECENT` decisions counts as stuck."""

ABORTS = {
    "policy_failed": "policy failed",
    "robot_failed": "robot failed",
    "interrupted": "interrupted",
}
KINDS = (
    "timeout",
    "stuck",
    "wrong done: target not visible",
    "wrong done: target too far",
    "wrong done: target not held",
    "wrong done",
    "late",
    "intervention",
    "policy failed",
    "robot failed",
    "interrupted",
    "could not begin",
    "cut off",
    "aborted",
)
"""Every kind, in the order in which reports list them."""


def failure_kind(end: RunEnd, verdict: Verdict, blocked: Sequence[bool]) -> str:
    """Returns the kind of failure, one of `KINDS`; empty for a success. `blocked` has one entry per decision."""
    if verdict.outcome is Outcome.SUCCESS:
        return ""
    if verdict.outcome is Outcome.INTERVENTION:
        return "intervention"
    if verdict.outcome is Outcome.ABORTED:
        return ABORTS.get(end.reason, "aborted")
    if end.reason == "done":
        return _wrong_done(verdict)
    recent = blocked[-RECENT:]
    if end.reason == "max_steps" and sum(recent) >= STUCK_FRACTION * len(recent):
        return "stuck"
    return "late" if end.reason == "late" else "timeout"


def _wrong_done(verdict: Verdict) -> str:
    if verdict.target_held is False:
        return "wrong done: target not held"
    if verdict.target_visible is None:
        return "wrong done"
    return f"wrong done: target {'too far' if verdict.target_visible else 'not visible'}"


def failure_note(kind: str, verdict: Verdict) -> str:
    """Returns the verdict's note, or else the distance to the target, or the number of rooms visited."""
    return verdict.note if verdict.note or not kind else target_note(verdict)


def target_note(verdict: Verdict) -> str:
    """Returns the distance to the target, or the number of rooms visited; empty if neither is known."""
    if verdict.target_distance_m is None:
        return "" if verdict.rooms is None else f"was in {verdict.rooms_visited} of {verdict.rooms} rooms"
    seen = {None: "", True: ", in sight", False: ", not in sight"}[verdict.target_visible]
    return f"nearest target {verdict.target_distance_m:.1f} m away{seen}"
