"""What comes late from a phone, or from two at once: it moves nothing, and changes no other trial's verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if any(find_spec(name) is None for name in ("segno", "uvicorn", "onnxruntime", "onnx")):
    pytest.skip("needs the extras 'trials' and 'train'", allow_module_level=True)

from operator_page import Phone, lock, page

from evaluation.operator.desk import FRESH_S
from evaluation.operator.in_process_rig import InProcessRig
from evaluation.plans.trial import Outcome
from evaluation.records.trial_folder import TrialFolder
from robots.fakes.kinematic import FakeOptions, FakeRobot

FAILURE = {"outcome": "failure", "failure": "timeout"}
ABORTED = {"outcome": "aborted", "failure": "wrong set-up"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lock(tmp_path, blocks=2)


@pytest.fixture
def phone(folder: Path) -> Iterator[Phone]:
    with page(folder, lambda: InProcessRig(FakeRobot(FakeOptions(real_time=False)))) as joined, Phone(joined) as phone:
        yield phone


def done(phone: Phone, key: str, **verdict: str) -> dict[str, object]:
    """One trial from the start to its verdict."""
    trial = phone.start()
    phone.ended()
    assert phone.judge(trial, key, **verdict).status_code == 200
    return trial


def undo(phone: Phone, trial: dict[str, object], key: str) -> int:
    """Asks for a verdict back; returns the answer's status."""
    return phone.post("/undo", trial=trial["number"], attempt=trial["attempt"], key=key).status_code


def outcomes(folder: Path) -> list[Outcome]:
    return [one.verdict.outcome for one in TrialFolder.read(folder).kept()]


def test_a_start_that_was_tapped_long_ago_moves_nothing(phone: Phone, folder: Path) -> None:
    state = phone.until(lambda one: one["ready"])
    trial, (run, seen_s) = state["trial"], state["stamp"]
    which = {"trial": trial["number"], "attempt": trial["attempt"]}
    late = ([run, seen_s - FRESH_S - 0.1], [run, seen_s + 3600.0], ["another run", seen_s], None, [run, "now"], [])
    for stamp in late:
        assert phone.post("/start", **which, stamp=stamp).status_code == 409
    assert not TrialFolder.read(folder).events
    assert phone.begin(trial["number"], trial["attempt"]).status_code == 200


def test_a_clearing_that_comes_after_another_press_clears_nothing(phone: Phone) -> None:
    assert phone.post("/stop").status_code == 200
    seen = phone.state()["stamp"]
    with Phone(str(phone.http.base_url) + "/join/" + phone.http.cookies["ferry_operator"]) as other:
        assert other.post("/stop").status_code == 200
    assert phone.post("/clear", stamp=seen).status_code == 409
    assert phone.state()["halt"]["pressed"]
    assert phone.clear().status_code == 200
    assert not phone.state()["halt"]["pressed"]


def test_only_the_last_verdict_is_taken_back_and_none_while_a_trial_waits_for_its_own(
    phone: Phone, folder: Path
) -> None:
    first, second = done(phone, "k1", **FAILURE), done(phone, "k2", **FAILURE)
    assert undo(phone, first, "k1") == 409  # sent before the second trial, and long on its way
    third = phone.start()
    phone.ended()
    assert undo(phone, second, "k2") == 409
    assert phone.state()["trial"]["number"] == third["number"]
    assert phone.judge(third, "k3", **FAILURE).status_code == 200
    assert undo(phone, third, "k3") == 200
    assert outcomes(folder) == [Outcome.FAILURE] * 2


def test_a_late_verdict_on_an_attempt_that_did_not_count_changes_nothing(phone: Phone, folder: Path) -> None:
    first = done(phone, "k1", **ABORTED)
    for number in range(4):
        done(phone, f"k{number + 2}", outcome="success", soft=True)  # the last one is the first trial again
    assert outcomes(folder) == [Outcome.SUCCESS] * 4
    assert phone.judge(first, "another phone's", **FAILURE).status_code == 409
    assert phone.judge(first, "k1", **ABORTED).status_code == 200  # it is kept, and the server says so again
    assert outcomes(folder) == [Outcome.SUCCESS] * 4


def test_how_a_trial_ended_is_known_after_the_server_was_started_again(folder: Path) -> None:
    class Recorded(InProcessRig):
        record = "film.mp4"

    with page(folder, lambda: Recorded(FakeRobot(FakeOptions(real_time=False)))) as joined, Phone(joined) as phone:
        trial = phone.start()
        ended = phone.ended()["ended"]
    with page(folder, lambda: InProcessRig(FakeRobot())) as joined, Phone(joined) as phone:
        assert phone.state()["ended"] == ended
        assert phone.judge(trial, "k1", **FAILURE).status_code == 200
    (kept,) = TrialFolder.read(folder).kept()
    assert (kept.verdict.duration_s, kept.verdict.recording) == (ended["duration_s"], "film.mp4")


def test_half_a_character_neither_loses_a_verdict_nor_ends_the_page(phone: Phone, folder: Path) -> None:
    trial = phone.start()
    phone.ended()
    verdict = {"trial": trial["number"], "attempt": 1, "key": "k\ud83d", "note": "a\ud83d", **FAILURE}
    cut = json.dumps(verdict)  # as a text area of limited length cuts an emoji
    answer = phone.http.post("/verdict", content=cut, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert phone.state()["progress"]["finished"] == 1
    assert TrialFolder.read(folder).kept()[0].verdict.note == "a?"
