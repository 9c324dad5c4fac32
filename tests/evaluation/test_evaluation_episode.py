"""Episode records: they come back as they were written, and nothing that is not a record is taken for one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from episodes import episode_of, plan_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.errors import RecordError
from evaluation.plans.trial import Outcome, Start, Trial
from evaluation.records.episode import EPISODE_FILE, Episode, Metrics, StepRecord, read_json, write_json

TRIAL = plan_of().trials()[0]
numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(
    StepRecord,
    action=st.sampled_from(["move_ahead", "done", ""]),
    probability=st.none() | st.floats(0, 1),
    executed=st.booleans(),
    why_not=st.text(),
    clipped=st.lists(st.text()).map(tuple),
    late=st.booleans(),
    timing_s=st.dictionaries(st.text(), numbers),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outcome=st.sampled_from(Outcome),
    note=st.text(),
    steps=st.lists(steps, max_size=4).map(tuple),
    path=st.lists(st.tuples(numbers, numbers), max_size=4).map(tuple),
    sel=st.none() | st.floats(0, 1),
    attempt=st.integers(1, 9),
)
def test_a_record_comes_back_as_it_was_written(
    tmp_path: Path,
    outcome: Outcome,
    note: str,
    steps: tuple[StepRecord, ...],
    path: tuple[tuple[float, float], ...],
    sel: float | None,
    attempt: int,
) -> None:
    episode = episode_of(TRIAL, outcome, note=note, steps=steps, path=path, attempt=attempt, metrics=Metrics(sel=sel))
    episode.write(tmp_path)
    assert Episode.read(tmp_path) == episode


def test_a_trial_in_a_home_comes_back_too(tmp_path: Path) -> None:
    start = Start("kitchen door", "find an apple", "apple", (1.0, 2.0, 0.5))
    episode = Episode(
        Trial(3, 1, "object_nav", "mini", 0, 50, start=start), Outcome.INTERVENTION, "intervention", "wet"
    )
    episode.write(tmp_path)
    assert Episode.read(tmp_path) == episode
    assert Episode.read(tmp_path).trial.place == "kitchen door"


def test_a_record_is_plain_json_that_says_its_version(tmp_path: Path) -> None:
    episode_of(TRIAL).write(tmp_path)
    data = json.loads((tmp_path / EPISODE_FILE).read_text())
    assert (data["schema"], data["outcome"], data["trial"]["policy"]) == (1, "success", TRIAL.policy)
    assert [one.name for one in tmp_path.iterdir()] == [EPISODE_FILE]  # no half-written file is left


def test_an_old_record_stays_when_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    episode_of(TRIAL).write(tmp_path)
    broken = episode_of(TRIAL, metrics=Metrics(duration_s=math.nan))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.write(tmp_path)
    assert Episode.read(tmp_path) == episode_of(TRIAL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": ""}, "outcome: got '', expected one of success, failure, aborted, intervention"),
        ({"outcome": "successful"}, "did you mean 'success'?"),
        ({"outcome": None}, "outcome: got nothing, expected one of"),
        ({"schema": 2}, "got schema 2, expected schema 1"),
        ({"colour": 1}, "colour: got an unknown key"),
        ({"metrics": {"step": 1}}, "metrics.step: got an unknown key, .*did you mean 'steps'?"),
        ({"path": [[1.0]]}, r"path\[0\]: got 1 entries, expected 2 entries"),
    ],
)
def test_a_record_with_a_mistake_is_refused_by_name(change: dict[str, object], message: str, tmp_path: Path) -> None:
    episode_of(TRIAL).write(tmp_path)
    path = tmp_path / EPISODE_FILE
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(RecordError, match=message):
        Episode.read(tmp_path)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"episode.json: got no such file"):
        Episode.read(tmp_path)
    (tmp_path / "a.json").write_text('{"outcome": "succ')
    with pytest.raises(RecordError, match=r"a.json: got 'Unterminated string"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("failure", "finished"),
    [("", True), ("timeout", True), ("policy failed", True), ("cut off", False), ("interrupted", False)],
)
def test_only_what_nobody_interrupted_is_finished(failure: str, finished: bool) -> None:
    assert replace(episode_of(TRIAL), failure=failure).is_finished is finished
