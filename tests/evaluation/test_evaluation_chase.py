"""A trial seen from behind the robot: filmed after it, from its record alone, with what the policy saw beside."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import ScriptedSession

from evaluation.errors import FolderError, RecordError
from evaluation.evaluate import Evaluate, evaluate
from evaluation.plans.trial import Outcome, Trial
from evaluation.records.chase_video import CHASE_SIZE, ROW, can_film, film
from evaluation.records.episode import CHASE_FILE, POSTER_FILE, VIDEO_FILE, Episode
from evaluation.records.recorder import Recorder
from evaluation.records.states import STATES_FILE, States
from evaluation.records.video import FRAMES_PER_S
from evaluation.reporting.film import main
from evaluation.reporting.report import main as write_report
from evaluation.runner import Runner
from evaluation.stages.judge import Verdict
from evaluation.stages.trial_setup import TrialSetup
from robots.spec import U8Image
from simulation.houses.seeds import house_seed
from simulation.rendering.renderer import RenderQuality
from simulation.task_registry import task
from simulation.twins.house_twin import StretchTwin
from simulation.twins.replay import Replay

SEED = house_seed("test", 0)
SCRIPT = ["rotate_right", "move_ahead", "move_arm_out", "done"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of four decisions of a twin, as a trial without a plan leaves it: only the judge knows the episode."""
    folder = tmp_path_factory.mktemp("trials") / "0000-mini"
    twin = StretchTwin()
    episode = task("object_nav").sample(SEED, 0, eye=twin.eye)
    known = Episode(Trial(0, 0, "driven", "mini", 0, 9), Outcome.ABORTED, embodiment="stretch_re1", robot="ros")
    recorder = Recorder(folder, known, TrialSetup("find it"), pose=lambda: twin.pose)
    with twin:
        twin.reset(episode)
        session = ScriptedSession(SCRIPT)
        Runner(twin, session, max_steps=9, subscribers=[recorder]).run()
    recorder.finish(Verdict(Outcome.FAILURE, episode=episode.to_json()))
    return folder


def read(path: Path) -> list[U8Image]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(np.asarray(frame[..., ::-1], np.uint8))


def test_a_film_has_the_robot_in_the_middle_and_the_policys_images_below(folder: Path) -> None:
    assert film(folder, per_decision=2) == folder / CHASE_FILE
    images, seen = read(folder / CHASE_FILE), read(folder / VIDEO_FILE)
    assert len(images) == 2 * len(SCRIPT)
    assert cv2.VideoCapture(str(folder / CHASE_FILE)).get(cv2.CAP_PROP_FPS) == pytest.approx(2 * FRAMES_PER_S)
    assert images[0].shape[1] == CHASE_SIZE[1]
    assert (folder / POSTER_FILE).is_file()
    x, y, width, height = States.read(folder).cameras[0]
    camera = images[2][CHASE_SIZE[0] : CHASE_SIZE[0] + ROW, :width].astype(float)
    assert np.abs(camera - seen[1][y : y + height, x : x + width]).mean() < 8  # the second decision's, encoded twice
    assert np.abs(images[0].astype(float) - images[-1]).mean() > 2  # something moves


def test_the_robot_stands_in_the_replay_as_it_stood(folder: Path) -> None:
    states, record = States.read(folder).states, Episode.read(folder)
    assert record.scene is not None
    from simulation.episode import EpisodeSpec

    episode = EpisodeSpec.from_json(record.scene.episode)
    with Replay("stretch_re1", episode, (90, 160), quality=RenderQuality()) as replay:
        for state in states:
            replay.show(state.pose, state.state)
            assert replay.world.base == pytest.approx(state.pose)
            without = replay.frame()
            assert without.shape == (90, 160, 3)
        assert replay.world.joints["joint_arm"] == pytest.approx(states[-1].state["joints"][1], abs=1e-3)


def test_the_camera_sees_the_robot_wherever_it_stands(folder: Path) -> None:
    """Its geoms cover a part of the image's middle, also where a wall is behind it."""
    record = Episode.read(folder)
    assert record.scene is not None
    from simulation.episode import EpisodeSpec

    episode = EpisodeSpec.from_json(record.scene.episode)
    with Replay("stretch_re1", episode, (90, 160), quality=RenderQuality()) as replay:
        rest = States.read(folder).states[0].state
        for pose in [(x, y, yaw) for x, y in record.path for yaw in (0.0, 2.0, 4.0)]:
            replay.show(pose, rest)
            shown = replay.frame(decisions=100.0)
            replay.show((pose[0] + 50.0, pose[1], pose[2]), rest)  # out of the house
            replay.world.base = (pose[0] + 50.0, pose[1], pose[2])
            replay.world.settle()
            gone = replay.frame(decisions=0.0)
            changed = np.abs(shown.astype(int) - gone).max(axis=2) > 12
            assert changed[15:80, 50:110].mean() > 0.03


def test_an_animation_repeats_and_is_as_high_as_asked(folder: Path, tmp_path: Path) -> None:
    animation = tmp_path / "pictures" / "demo.webp"
    assert main([str(folder), "--animation", str(animation), "--height", "128", "--seconds", "1"]) == 0
    ok, frames = cv2.imreadmulti(str(animation))
    assert ok
    assert {frame.shape[0] for frame in frames} == {128}
    assert len(frames) >= 2


def test_the_verb_films_what_is_not_filmed_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(folder, per_decision=1)
    before = (folder / CHASE_FILE).stat().st_mtime_ns
    assert main([str(folder.parent)]) == 0
    assert (folder / CHASE_FILE).stat().st_mtime_ns == before
    assert capsys.readouterr().out == f"{folder / CHASE_FILE}\n"


def test_a_report_is_there_before_its_films_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Films take minutes: whoever interrupts them has the report."""
    plan = tmp_path / "plan.yaml"
    policies = "policies: [{name: expert, expert: true}]"
    plan.write_text(f"{{name: one, robot: twin, max_steps: 2, houses: {{seeds: [{SEED}]}}, {policies}}}")
    assert evaluate(Evaluate(plan, output=tmp_path / "run")) == 0

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt  # Ctrl-C

    monkeypatch.setattr("evaluation.reporting.film.film_trials", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report([str(tmp_path / "run"), "--output", str(tmp_path / "report")])
    assert (tmp_path / "report" / "report.html").is_file()


def test_what_cannot_be_filmed_is_reported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no folder given"):
        main([])
    home = tmp_path / "home"
    home.mkdir()
    episode = json.loads((folder / "episode.json").read_text())
    episode["scene"]["episode"] = {}  # a real home
    (home / "episode.json").write_text(json.dumps(episode))
    for name in (STATES_FILE, VIDEO_FILE):
        (home / name).write_bytes((folder / name).read_bytes())
    assert not can_film(home)
    with pytest.raises(RecordError, match="1 record, none to film"):
        main([str(tmp_path)])
