"""Plans of any task on any body: what they may say, how trials of them begin, and what is judged and reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from episodes import MANIFEST, POLICIES, SHA256, episode_of, plan_of

from evaluation.errors import PlanError
from evaluation.expert_policy import ExpertPolicy
from evaluation.plans.plan import Plan, PolicyEntry, TaskName, TwinSettings, read_plan
from evaluation.plans.trial import Outcome, Trial
from evaluation.policies import PlanPolicy
from evaluation.records.episode import Metrics
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.page import page
from evaluation.reporting.report import markdown
from evaluation.reporting.results import results_of
from evaluation.reporting.table import text_table
from evaluation.stages.failure import failure_kind, failure_note
from evaluation.stages.judge import Verdict
from evaluation.stages.trial_environment import TrialSkipped
from evaluation.stages.twin_environment import TwinEnvironment, house_setup
from evaluation.step import RunEnd
from robots.command import Grasp
from simulation.chores.episode_file import write_episodes
from simulation.episode import EpisodeSpec
from simulation.houses.seeds import house_seed
from simulation.task_registry import TASKS, task
from simulation.twins.grasp_sphere import Hand
from simulation.twins.registry import TWINS

SIZE = (42, 72)
DONE = RunEnd("done", "", 1)
STILL = TwinSettings(move_noise_m=0.0, turn_noise_deg=0.0)
PLAN = """\
name: several
houses: {split: test, count: 2}
tasks: [object_nav, room_visit]
twin: {body: locobot}
policies: [{name: expert, expert: true}]
"""


def read(text: str, tmp_path: Path) -> Plan:
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return read_plan(tmp_path / "plan.yaml")


def trial_of(name: str, index: int = 0) -> Trial:
    return Trial(0, 0, name, "expert", 0, 300, house_seed=house_seed("test", index))


def test_a_plan_may_name_every_task_and_every_body() -> None:
    assert set(get_args(TaskName)) == set(TASKS)
    assert set(get_args(get_type_hints(TwinSettings)["body"])) == set(TWINS)


def test_each_task_is_tried_in_each_house(tmp_path: Path) -> None:
    plan = read(PLAN, tmp_path)
    assert plan.twin.body == "locobot"
    assert [(trial.task, trial.house_seed, trial.block) for trial in plan.trials()] == [
        (name, house_seed("test", index), block)
        for block, (name, index) in enumerate([(a, b) for a in ("object_nav", "room_visit") for b in (0, 1)])
    ]


def test_a_plan_that_says_nothing_new_has_the_hash_it_had(tmp_path: Path) -> None:
    """So that an evaluation that was begun before goes on."""
    old = PLAN.replace("tasks: [object_nav, room_visit]\ntwin: {body: locobot}\n", "")
    before = "ceb0f3d0a83121fb94818a0afac9815048104f27841bb88be98134ad4df51233"
    assert read(old, tmp_path).sha256 == before
    assert read(old + "twin: {body: stretch_re1, grasp: sphere}\n", tmp_path).sha256 == before
    assert read(old + "twin: {body: locobot}\n", tmp_path).sha256 != before


def test_a_body_without_an_arm_is_not_asked_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"plan.yaml:3: tasks: got task 'fetch' on locobot"):
        read(PLAN.replace("room_visit", "fetch"), tmp_path)
    with pytest.raises(TrialSkipped, match="task 'pick_up' on locobot"):
        house_setup(trial_of("pick_up"), "locobot")


def test_the_episodes_of_a_file_are_played_as_they_stand_there(tmp_path: Path) -> None:
    drawn = [task(name).sample(house_seed("val", index), 5) for name, index in (("room_visit", 0), ("object_nav", 1))]
    drawn[1] = replace(drawn[1], expert_steps=99, max_steps=70)
    write_episodes(tmp_path / "some.jsonl.gz", drawn)
    text = PLAN.replace("houses: {split: test, count: 2}", f"episodes: {tmp_path / 'some.jsonl.gz'}")
    text = text.replace("tasks: [object_nav, room_visit]\n", "repeats: 2\n").replace("twin: {body: locobot}\n", "")
    plan = read(text, tmp_path)
    trials = plan.trials()
    assert [(one.task, one.seed, one.max_steps) for one in trials] == [
        ("room_visit", 5, 600), ("object_nav", 5, 70), ("room_visit", 6, 600), ("object_nav", 6, 70),
    ]  # fmt: skip
    setup = house_setup(trials[1])
    assert EpisodeSpec.from_json(setup.episode) == drawn[1]
    assert setup.expert_steps == 99  # what the file says is taken
    folder = RunFolder.open(tmp_path / "run", plan, POLICIES[:1])
    with pytest.raises(PlanError, match="tasks: got tasks beside episodes"):
        read("tasks: [fetch]\n" + text, tmp_path)
    (tmp_path / "some.jsonl.gz").unlink()
    assert RunFolder.read(folder.path).left() == trials  # the folder needs the file no more
    with pytest.raises(PlanError, match=r"plan.yaml:2: episodes: got .*No such file.*"):
        read(text, tmp_path)


def test_a_visit_is_judged_by_its_rooms() -> None:
    with TwinEnvironment(STILL, SIZE) as environment:
        trial = trial_of("room_visit")
        setup = environment.begin(trial)
        at_once = environment.verdict(DONE)
        end = environment.run(
            trial, setup, PlanPolicy.of(PolicyEntry("expert", expert=True), ExpertPolicy(environment.twin)), ()
        )
        verdict = environment.verdict(end)
    rooms = len(environment.twin.house.rooms)
    assert (at_once.outcome, at_once.rooms_visited, at_once.rooms) == (Outcome.FAILURE, 1, rooms)
    assert at_once.target_distance_m is at_once.target_visible is at_once.target_held is None
    kind = failure_kind(DONE, at_once, [])
    assert (kind, failure_note(kind, at_once)) == ("wrong done", f"was in 1 of {rooms} rooms")
    assert (verdict.outcome, verdict.rooms_visited) == (Outcome.SUCCESS, rooms)
    assert rooms > 1


def test_the_locobot_is_tried_under_its_own_name_with_its_own_expert() -> None:
    with TwinEnvironment(replace(STILL, body="locobot"), SIZE) as environment:
        trial = trial_of("object_nav", 1)
        setup = environment.begin(trial)
        end = environment.run(
            trial, setup, PlanPolicy.of(PolicyEntry("expert", expert=True), ExpertPolicy(environment.twin)), ()
        )
        assert environment.name == "locobot_twin"
        assert environment.verdict(end).outcome is Outcome.SUCCESS
        assert end.steps == setup.expert_steps
    assert setup.episode["start"] != house_setup(trial).episode["start"]


def test_a_physical_grasp_is_judged_strictly_and_softly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "simulation.twins.house_twin.holds", lambda *_: False
    )  # whatever the fingers close on slips out
    with TwinEnvironment(replace(STILL, grasp="physics"), SIZE) as environment:
        environment.begin(trial_of("pick_up"))
        target = environment.twin.house.objects_of(environment.twin.episode.target)[0]
        nothing = environment.verdict(DONE)
        monkeypatch.setattr(Hand, "nearest", lambda self: target)
        environment.twin.execute(Grasp())
        slipped, unsaid = environment.verdict(DONE), environment.verdict(RunEnd("max_steps", "", 9))
    assert (nothing.outcome, nothing.soft_success, nothing.target_held) == (Outcome.FAILURE, False, False)
    assert (slipped.outcome, slipped.soft_success, slipped.target_held) == (Outcome.FAILURE, True, False)
    assert unsaid.soft_success is False
    assert failure_kind(DONE, slipped, []) == "wrong done: target not held"
    assert "not in sight" not in failure_note("wrong done: target not held", slipped)


def test_the_report_has_a_row_for_each_task_and_columns_for_what_is_known(tmp_path: Path) -> None:
    plan = replace(plan_of(count=1), tasks=("pick_up", "room_visit"))
    folder = RunFolder.open(tmp_path / "run", plan, POLICIES)
    for trial in plan.trials():
        known = {"soft_success": True} if trial.task == "pick_up" else {"rooms_visited": 2, "rooms": 5}
        one = episode_of(trial, Outcome.FAILURE, metrics=Metrics(30, sel=0.0, **known))  # type: ignore[arg-type]
        one.write(folder.trial(trial))
    results = results_of([folder])
    lines = text_table(results).splitlines()
    assert lines[0].split() == ["policy", "robot", "task", "success", "SEL", "trials", "soft", "success", "rooms"]
    assert [line.split()[2] for line in lines[1:5]] == ["pick_up", "pick_up", "room_visit", "room_visit"]
    assert lines[1].rstrip().endswith("100 % [3, 100]  -")
    assert lines[3].split()[-2:] == ["40", "%"]
    assert "pick_up: mini against random:" in "\n".join(lines[5:])
    html = page([folder], {})
    assert "<th>soft success</th><th>rooms</th>" in html
    assert "mini, room_visit" in html
    assert "mini, room_visit" in markdown(results)
    assert MANIFEST["name"] in html
    assert SHA256[:8] in html


def test_a_table_of_objectnav_on_a_robot_is_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", plan_of(count=1), POLICIES)
    for trial in folder.info.plan.trials():
        episode_of(trial).write(folder.trial(trial))
    assert text_table(results_of([folder])).splitlines()[0].split() == [
        "policy",
        "robot",
        "task",
        "success",
        "SEL",
        "trials",
    ]


def test_what_is_not_known_is_not_reported() -> None:
    assert failure_note("timeout", Verdict(Outcome.FAILURE)) == ""
    assert failure_note("timeout", Verdict(Outcome.FAILURE, target_distance_m=1.24)) == "nearest target 1.2 m away"
