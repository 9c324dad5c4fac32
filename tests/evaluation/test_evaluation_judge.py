"""Judges: the person is asked until there is an answer, and every failure has a kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evaluation.plans.trial import Outcome
from evaluation.stages.failure import KINDS, RECENT, failure_kind, failure_note
from evaluation.stages.judge import DoneJudge, HumanJudge, Verdict
from evaluation.step import Reason, RunEnd

DONE = RunEnd("done", "", 12)


class Person:
    """Answers in turn, and goes away when there is nothing left to say."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.questions = list(answers), list[str]()

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("s", Outcome.SUCCESS),
        ("SUCCESS", Outcome.SUCCESS),
        (" f ", Outcome.FAILURE),
        ("failure", Outcome.FAILURE),
    ],
)
def test_a_person_says_what_became_of_it(answer: str, outcome: Outcome) -> None:
    assert HumanJudge(Person(answer, "by the sofa")).verdict(DONE) == Verdict(outcome, "by the sofa")


def test_the_question_says_how_the_run_ended() -> None:
    person = Person("s", "")
    HumanJudge(person).verdict(RunEnd("late", "late: 2.000 s after the observation", 7))
    assert "the run ended after 7 decisions (late: late: 2.000 s after the observation)" in person.questions[0]
    assert "[i]ntervention" in person.questions[0]


@pytest.mark.parametrize("blank", ["", "  ", "x", "maybe", "yes"])
def test_no_answer_is_not_an_answer(blank: str) -> None:
    person = Person(blank, blank, "f", "")
    assert HumanJudge(person).verdict(DONE).outcome is Outcome.FAILURE
    assert len(person.questions) == 4
    assert person.questions[1].startswith(f"got {blank.strip()!r}; outcome? ")


@pytest.mark.parametrize(("answer", "outcome"), [("i", Outcome.INTERVENTION), ("a", Outcome.ABORTED)])
def test_what_a_person_ended_needs_a_reason(answer: str, outcome: Outcome) -> None:
    person = Person(answer, "", " ", "cable in the way")
    assert HumanJudge(person).verdict(DONE) == Verdict(outcome, "cable in the way")
    assert person.questions[1:] == ["why? "] * 3


@pytest.mark.parametrize("answers", [(), ("f",), ("i", "")])
def test_when_nobody_is_there_it_is_aborted_and_not_blank(answers: tuple[str, ...]) -> None:
    verdict = HumanJudge(Person(*answers)).verdict(DONE)
    assert verdict == Verdict(Outcome.ABORTED, "nobody answered the judge's question")


def test_a_rehearsal_takes_done_for_success_and_says_so() -> None:
    assert DoneJudge().verdict(DONE) == Verdict(Outcome.SUCCESS, "rehearsal: 'done' counts as success")
    assert DoneJudge().verdict(RunEnd("max_steps", "", 5)).outcome is Outcome.FAILURE


def verdict(outcome: Outcome = Outcome.FAILURE, visible: bool | None = None) -> Verdict:
    return Verdict(outcome, target_visible=visible, target_distance_m=None if visible is None else 3.26)


@pytest.mark.parametrize(
    ("reason", "given", "kind"),
    [
        ("done", verdict(Outcome.SUCCESS), ""),
        ("done", verdict(visible=False), "wrong done: target not visible"),
        ("done", verdict(visible=True), "wrong done: target too far"),
        ("done", verdict(), "wrong done"),
        ("max_steps", verdict(), "timeout"),
        ("late", verdict(), "late"),
        ("done", verdict(Outcome.INTERVENTION), "intervention"),
        ("interrupted", verdict(Outcome.INTERVENTION), "intervention"),
        ("policy_failed", verdict(Outcome.ABORTED), "policy failed"),
        ("robot_failed", verdict(Outcome.ABORTED), "robot failed"),
        ("interrupted", verdict(Outcome.ABORTED), "interrupted"),
        ("done", verdict(Outcome.ABORTED), "aborted"),
    ],
)
def test_every_failure_has_a_kind(reason: Reason, given: Verdict, kind: str) -> None:
    assert failure_kind(RunEnd(reason, "", 3), given, [False] * 3) == kind
    assert kind in (*KINDS, "")


@pytest.mark.parametrize(
    ("blocked", "kind"),
    [
        ([True] * 10 + [False] * RECENT, "timeout"),
        ([False] * 200 + [True] * RECENT, "stuck"),
        ([False, True] * 50, "stuck"),
        ([False, False, True] * 50, "timeout"),
        ([True] * 4, "stuck"),
    ],
)
def test_stuck_is_running_out_of_steps_against_a_wall(blocked: list[bool], kind: str) -> None:
    assert failure_kind(RunEnd("max_steps", "", len(blocked)), verdict(), blocked) == kind


@pytest.mark.parametrize(("visible", "words"), [(True, "in sight"), (False, "not in sight")])
def test_a_failure_says_how_far_the_target_was(visible: bool, words: str) -> None:
    assert failure_note("timeout", verdict(visible=visible)) == f"nearest target 3.3 m away, {words}"


def test_a_note_by_the_judge_comes_first_and_a_success_needs_none() -> None:
    assert failure_note("wrong done", Verdict(Outcome.FAILURE, "it stood in the hall")) == "it stood in the hall"
    assert failure_note("", verdict(Outcome.SUCCESS, visible=True)) == ""


def test_an_outcome_is_never_blank() -> None:
    build: Callable[[str], Outcome] = Outcome
    assert {one.value for one in Outcome} == {"success", "failure", "aborted", "intervention"}
    with pytest.raises(ValueError, match="is not a valid Outcome"):
        build("")
