"""The recorder follows a real run of the loop and leaves a whole record, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from episodes import FLOOR, plan_of
from scripted import ScriptedSession, WatchedFake

from evaluation.plans.trial import Outcome
from evaluation.records.episode import EPISODE_FILE, FILMSTRIP_FILE, VIDEO_FILE, Episode
from evaluation.records.recorder import CUT_OFF, Recorder, write_aborted
from evaluation.records.states import STATES_FILE, States
from evaluation.runner import Runner
from evaluation.stages.judge import Verdict
from evaluation.stages.trial_setup import TrialSetup
from evaluation.step import RunEnd

TRIAL = plan_of().trials()[0]
KNOWN = Episode(TRIAL, Outcome.ABORTED, bundle_sha256="5e", embodiment="stretch_re1", robot="twin")
SCENE = TrialSetup("find a sofa", "sofa", 2, FLOOR, {"house_seed": 1})


def recorded(folder: Path, script: list[str], scene: TrialSetup = SCENE, **options: object) -> tuple[Recorder, RunEnd]:
    robot = WatchedFake()
    recorder = Recorder(folder, KNOWN, scene, pose=lambda: robot.pose, **options)  # type: ignore[arg-type]
    with robot:
        end = Runner(robot, ScriptedSession(script), max_steps=6, subscribers=[recorder]).run()
    return recorder, end


def test_a_run_leaves_record_video_and_filmstrip(tmp_path: Path) -> None:
    recorder, _ = recorded(tmp_path, ["move_ahead", "rotate_left", "move_ahead", "done"])
    verdict = Verdict(Outcome.SUCCESS, collisions=0, target_distance_m=1.1, target_visible=True)
    episode = recorder.finish(verdict)
    assert Episode.read(tmp_path) == episode
    assert sorted(one.name for one in tmp_path.iterdir()) == [EPISODE_FILE, FILMSTRIP_FILE, STATES_FILE, VIDEO_FILE]
    assert [step.action for step in episode.steps] == ["move_ahead", "rotate_left", "move_ahead", "done"]
    assert [step.probability for step in episode.steps] == [1.0] * 4
    assert (episode.outcome, episode.failure, episode.note, episode.end) == (Outcome.SUCCESS, "", "", "done")
    assert (episode.metrics.steps, episode.metrics.sel, episode.metrics.collisions) == (4, 0.5, 0)
    assert episode.metrics.path_length_m == pytest.approx(0.4, abs=0.002)
    assert episode.path[:2] == ((0.0, 0.0), (0.2, 0.0))
    assert (episode.bundle_sha256, episode.robot, episode.scene) == ("5e", "twin", SCENE)
    assert episode.started


def test_the_video_has_a_frame_for_each_decision(tmp_path: Path) -> None:
    recorded(tmp_path, ["move_ahead", "done"])
    assert cv2.VideoCapture(str(tmp_path / VIDEO_FILE)).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert cv2.imread(str(tmp_path / FILMSTRIP_FILE)).shape == (84, 2 * 144 + 2, 3)


def test_the_states_are_those_of_the_images_and_one_after_the_last(tmp_path: Path) -> None:
    recorded(tmp_path, ["move_ahead", "rotate_left", "done"])
    states = States.read(tmp_path)
    assert [round(state.pose[0], 3) for state in states.states] == [0.0, 0.2, 0.2, 0.2]
    assert states.states[1].pose[2] == 0.0
    assert states.states[2].pose[2] > 0.1
    assert len(states.states[0].state["joints"]) == len(WatchedFake().spec.state["joints"].names)
    frame = cv2.VideoCapture(str(tmp_path / VIDEO_FILE)).read()[1]
    assert len(states.cameras) == 2
    for x, y, width, height in states.cameras:
        assert y + height <= frame.shape[0]
        assert x + width <= frame.shape[1]


def test_without_video_there_is_a_record_alone(tmp_path: Path) -> None:
    recorder, _ = recorded(tmp_path, ["done"], has_video=False)
    recorder.finish(Verdict(Outcome.FAILURE))
    assert [one.name for one in tmp_path.iterdir()] == [EPISODE_FILE]


def test_a_home_without_a_map_is_filmed_too(tmp_path: Path) -> None:
    recorder, _ = recorded(tmp_path, ["done"], TrialSetup("find an apple"))
    episode = recorder.finish(Verdict(Outcome.SUCCESS, "by the sofa"))
    assert (tmp_path / VIDEO_FILE).exists()
    assert episode.metrics.sel is None  # nobody knows how long the expert would need
    assert episode.note == "by the sofa"


def test_from_the_start_on_the_record_says_cut_off(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, KNOWN, SCENE)
    recorder.on_start()
    episode = Episode.read(tmp_path)
    assert (episode.outcome, episode.failure, episode.note) == (Outcome.ABORTED, "cut off", CUT_OFF)
    assert not episode.is_finished
    assert episode.scene == SCENE


def test_what_was_not_executed_says_why(tmp_path: Path) -> None:
    robot = WatchedFake()
    robot.pose = (2.9, 0.0, 0.0)
    recorder = Recorder(tmp_path, KNOWN, SCENE, has_video=False)
    with robot:
        session = ScriptedSession(["move_ahead"])
        Runner(robot, session, max_steps=4, subscribers=[recorder]).run()
    episode = recorder.finish(Verdict(Outcome.FAILURE, target_distance_m=2.5, target_visible=True))
    assert {step.why_not for step in episode.steps} == {"contact with the arena wall"}
    assert (episode.failure, episode.metrics.blocked) == ("stuck", 4)
    assert episode.note == "nearest target 2.5 m away, in sight"
    assert episode.metrics.sel == 0.0
    assert set(episode.steps[0].timing_s) == {"observe", "decide", "execute"}


def test_late_decisions_are_counted(tmp_path: Path) -> None:
    robot, recorder = WatchedFake(), Recorder(tmp_path, KNOWN, SCENE, has_video=False)
    with robot:
        session = ScriptedSession(["move_ahead"], valid_for_s=-1.0)
        Runner(robot, session, max_steps=9, subscribers=[recorder]).run()
    episode = recorder.finish(Verdict(Outcome.FAILURE))
    assert (episode.failure, episode.metrics.late, episode.end) == ("late", 3, "late")
    assert all(step.late for step in episode.steps)
    assert "after the observation" in episode.note


@pytest.mark.parametrize(
    ("outcome", "expert_steps", "episode", "sel"),
    [
        (Outcome.SUCCESS, 2, {"a": 1}, 0.5),
        (Outcome.SUCCESS, 9, {"a": 1}, 1.0),
        (Outcome.SUCCESS, None, {"a": 1}, None),
        (Outcome.FAILURE, 2, {"a": 1}, 0.0),
        (Outcome.FAILURE, None, {"a": 1}, 0.0),
        (Outcome.FAILURE, None, {}, None),
        (Outcome.INTERVENTION, 2, {"a": 1}, 0.0),
        (Outcome.ABORTED, 2, {"a": 1}, None),
    ],
)
def test_sel_is_zero_for_failures_and_unknown_for_what_was_aborted(
    outcome: Outcome, expert_steps: int | None, episode: dict[str, int], sel: float | None, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path, KNOWN, replace(SCENE, expert_steps=expert_steps, episode=episode), has_video=False)
    recorder.on_start()
    recorder.on_end(RunEnd("done", "", 4))
    assert recorder.finish(Verdict(outcome, "why")).metrics.sel == sel


def test_the_judges_path_counts_more_than_what_was_seen_between_steps(tmp_path: Path) -> None:
    recorder, _ = recorded(tmp_path, ["move_ahead", "done"], has_video=False)
    episode = recorder.finish(Verdict(Outcome.SUCCESS, path=((0.0, 0.0), (3.0, 4.0))))
    assert episode.path == ((0.0, 0.0), (3.0, 4.0))
    assert episode.metrics.path_length_m == 5.0


def test_a_trial_that_came_to_nothing_is_recorded_with_its_reason(tmp_path: Path) -> None:
    episode = write_aborted(tmp_path / "0000-mini", KNOWN, "could not begin", "house 3: no way")
    assert Episode.read(tmp_path / "0000-mini") == episode
    assert (episode.outcome, episode.failure, episode.note) == (Outcome.ABORTED, "could not begin", "house 3: no way")
    assert episode.is_finished
