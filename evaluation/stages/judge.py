"""Who says what became of a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.plans.trial import Outcome
from evaluation.step import RunEnd
from robots.processes.text import printable


@dataclass(frozen=True)
class Verdict:
    """What became of a trial, and what else the judge knows of it.

    Attributes:
        outcome: never blank.
        note: in words; why, when it was aborted or ended by a person.
        path: base positions (x, y) [m]; empty when unknown.
        collisions: blocked motions; None when unknown.
        target_distance_m: from the base to the nearest instance of the target; None when unknown.
        target_visible: whether the robot sees the target; None when unknown.
        target_held: whether the target is in the gripper; None when unknown, or when that is not the task.
        soft_success: whether it would be a success if whatever the hand reaches were held; None when the grasp is not
            physical, or when that is not the task.
        rooms_visited: how many rooms the robot was in; None when unknown.
        rooms: how many there are; None when unknown.
    """

    outcome: Outcome
    note: str = ""
    path: tuple[tuple[float, float], ...] = ()
    collisions: int | None = None
    target_distance_m: float | None = None
    target_visible: bool | None = None
    target_held: bool | None = None
    soft_success: bool | None = None
    rooms_visited: int | None = None
    rooms: int | None = None


def twin_verdict(end: RunEnd, known: Mapping[str, Any]) -> Verdict:
    """The verdict from a twin's `simulation.episode_info.EpisodeInfo` as JSON values: a success takes a `done`.

    A run whose instruction asks for something else than the episode's target is not judged.
    """
    if known["not_judged"]:
        return Verdict(Outcome.ABORTED, f"not judged: {known['not_judged']}", path=_path(known))
    said = end.reason == "done"
    soft = known["soft_success"]
    return Verdict(
        Outcome.SUCCESS if said and known["success"] else Outcome.FAILURE,
        path=_path(known),
        soft_success=None if soft is None else said and soft,
        **{name: known[name] for name in _KNOWN},
    )


def _path(known: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in known["path"])


_KNOWN = ("collisions", "target_distance_m", "target_visible", "target_held", "rooms_visited", "rooms")


class Judge(Protocol):
    """Called once, after the run ended and the body stands."""

    def verdict(self, end: RunEnd) -> Verdict:
        """What became of the trial."""


CHOICES = {
    "s": Outcome.SUCCESS,
    "f": Outcome.FAILURE,
    "i": Outcome.INTERVENTION,
    "a": Outcome.ABORTED,
}
QUESTION = "outcome? [s]uccess, [f]ailure, [i]ntervention, [a]borted: "


class HumanJudge:
    """Asks the person beside the robot; takes no blank for an answer.

    Args:
        ask: shows a question and returns the answer; EOFError when nobody is there.
    """

    def __init__(self, ask: Callable[[str], str] = input) -> None:
        self._ask = ask

    def verdict(self, end: RunEnd) -> Verdict:
        """The answer; aborted when nobody is there to give one. A trial that nobody can judge by success asks why."""
        said = f": {end.message}" if end.message else ""
        question = printable(f"\nthe run ended after {end.steps} decisions ({end.reason}{said})\n{QUESTION}")
        try:
            outcome = self._outcome(question)
            needs_reason = outcome in (Outcome.ABORTED, Outcome.INTERVENTION)
            return Verdict(outcome, self._reason() if needs_reason else self._ask("note (may be empty): ").strip())
        except EOFError:
            return Verdict(Outcome.ABORTED, "nobody answered the judge's question")

    def _outcome(self, question: str) -> Outcome:
        while True:
            answer = self._ask(question).strip().lower()
            chosen = [outcome for key, outcome in CHOICES.items() if answer in (key, outcome.value)]
            if chosen:
                return chosen[0]
            question = QUESTION

    def _reason(self) -> str:
        reason = ""
        while not reason:
            reason = self._ask("why? ").strip()
        return reason


class DoneJudge:
    """Takes the policy's word for it: for rehearsals on the fake, where there is no task to succeed in."""

    def verdict(self, end: RunEnd) -> Verdict:
        """Success when the policy said done."""
        if end.reason == "done":
            return Verdict(Outcome.SUCCESS, "rehearsal: 'done' counts as success")
        return Verdict(Outcome.FAILURE)
