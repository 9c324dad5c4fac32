"""The Stretch twin as a robot."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from robots.command import (
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.embodiments.stretch_re1 import ACTIONS, STATE, STRETCH_RE1
from robots.errors import NotConnected
from simulation.episode import EpisodeSpec
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions

EPISODE = sample_episode(3, 1)
NOISELESS = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)


@pytest.fixture(scope="module")
def connected() -> StretchTwin:
    twin = StretchTwin(NOISELESS)
    twin.connect()
    return twin


@pytest.fixture
def twin(connected: StretchTwin) -> StretchTwin:
    connected.reset(EPISODE)
    return connected


def drive_until_blocked(twin: StretchTwin) -> str:
    for _ in range(60):
        sent = twin.execute(ACTIONS["move_ahead"])
        if sent.blocked:
            return sent.blocked
    raise AssertionError("nothing in the way for 12 m")


def test_it_is_a_stretch_with_its_own_image_size() -> None:
    spec = StretchTwin(TwinOptions(height=60, width=100)).spec
    assert spec.name == STRETCH_RE1.name
    assert spec.actions == STRETCH_RE1.actions
    assert [(camera.name, camera.height, camera.width) for camera in spec.cameras] == [
        ("navigation", 60, 100),
        ("manipulation", 60, 100),
    ]


def test_nothing_works_before_connect() -> None:
    twin = StretchTwin()
    with pytest.raises(NotConnected):
        twin.observe()
    with pytest.raises(NotConnected):
        twin.execute(Done())


def test_nothing_works_before_reset() -> None:
    with StretchTwin() as twin, pytest.raises(RuntimeError, match=r"expected reset\(episode\) first"):
        twin.observe()


def test_an_unknown_kind_of_contact_is_refused() -> None:
    with pytest.raises(ValueError, match="contact: got 'bounce'"):
        TwinOptions(contact="bounce")


def test_an_observation_fits_the_spec(twin: StretchTwin) -> None:
    seen = twin.observe()
    for camera in twin.spec.cameras:
        camera.check(seen.images[camera.name])
    for group, spec in STATE.items():
        spec.check(seen.state[group])
    assert seen.instruction == EPISODE.instruction
    assert seen.images["navigation"].std() > 5
    assert not np.array_equal(seen.images["navigation"], seen.images["manipulation"])


def test_stamps_grow(twin: StretchTwin) -> None:
    assert twin.observe().stamp_ns < twin.observe().stamp_ns


def test_it_starts_where_the_episode_says(twin: StretchTwin) -> None:
    assert twin.pose == EPISODE.start
    assert (twin.collisions, twin.path, twin.history) == (0, [EPISODE.start[:2]], [])
    assert twin.house.seed == EPISODE.house_seed


def test_a_move_and_a_turn(twin: StretchTwin) -> None:
    x, y, yaw = twin.pose
    assert twin.execute(ACTIONS["rotate_left"]).executed
    assert math.remainder(twin.pose[2] - yaw, math.tau) == pytest.approx(math.radians(30))
    sent = twin.execute(ACTIONS["move_back"])
    assert sent.executed == (math.dist(twin.pose[:2], (x, y)) == pytest.approx(0.2))
    assert len(twin.path) == 3


def test_what_it_sees_changes_when_it_turns(twin: StretchTwin) -> None:
    before = twin.observe().images["navigation"]
    twin.execute(ACTIONS["rotate_left"])
    assert not np.array_equal(before, twin.observe().images["navigation"])


def test_a_blocked_move_moves_nothing_and_is_counted(twin: StretchTwin) -> None:
    blocked = drive_until_blocked(twin)
    assert blocked.startswith("contact with ")
    pose = twin.pose
    sent = twin.execute(ACTIONS["move_ahead"])
    assert not sent.executed
    assert twin.pose == pose
    assert twin.collisions == 2
    assert twin.would_touch(MoveBase(0.2)) == sent.blocked.removeprefix("contact with ")
    assert twin.would_touch(MoveBase(-0.2)) is None


def test_sliding_goes_on_where_strict_contact_stops() -> None:
    ends = {}
    for contact in ("strict", "slide"):
        with StretchTwin(TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0, contact=contact)) as twin:
            twin.reset(EpisodeSpec("object_nav", 3, (*EPISODE.start[:2], math.radians(25)), EPISODE.target, "", 1))
            for _ in range(40):
                twin.execute(ACTIONS["move_ahead"])
            ends[contact] = math.dist(twin.pose[:2], EPISODE.start[:2])
            assert twin.world.contact() is None
    assert ends["slide"] > ends["strict"]


def test_noise_is_drawn_by_the_episodes_seed() -> None:
    def end(seed: int) -> tuple[float, float, float]:
        with StretchTwin() as twin:
            twin.reset(EpisodeSpec("object_nav", 3, EPISODE.start, EPISODE.target, "", seed))
            for action in ("rotate_left", "move_back", "rotate_right_small"):
                twin.execute(ACTIONS[action])
            return twin.pose

    assert end(1) == end(1)
    assert end(1) != end(2)


def test_noise_is_as_large_as_the_options_say() -> None:
    turns = []
    with StretchTwin() as twin:
        twin.reset(EPISODE)
        for _ in range(300):
            before = twin.pose[2]
            twin.execute(RotateBase(math.radians(30)))
            turns.append(math.remainder(twin.pose[2] - before, math.tau))
    assert np.mean(turns) == pytest.approx(math.radians(30), abs=math.radians(0.15))
    assert np.std(turns) == pytest.approx(math.radians(0.5), rel=0.2)


def test_joints_move_within_their_limits(twin: StretchTwin) -> None:
    before = twin.observe().state["joints"]
    assert twin.execute(MoveJoint("joint_lift", 0.1)).executed
    assert twin.observe().state["joints"][0] == pytest.approx(before[0] + 0.1)
    sent = twin.execute(JointTarget(("joint_lift",), (9.0,)))
    assert sent.clipped == ("joint_lift",)
    assert twin.observe().state["joints"][0] == pytest.approx(1.095)
    twin.execute(LookAt(0.3, -0.2))
    twin.execute(SetGripper(0.08))
    assert twin.observe().state["joints"][3:] == pytest.approx([0.3, -0.2, 0.08], abs=1e-6)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Grasp(), "nothing within reach of the gripper"),
        (Release(), "the gripper holds nothing"),
        (MoveBase(3.0), "base step of 3.000 m is beyond the longest step of 0.200 m"),
        (MoveBase(math.nan), "MoveBase.distance_m: got nan, expected a finite number"),
        (MoveJoint("joint_tail", 0.1), "stretch_re1 has no joint 'joint_tail'; it has joint_lift"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused(twin: StretchTwin, command: MoveBase, reason: str) -> None:
    pose, joints = twin.pose, dict(twin.world.joints)
    sent = twin.execute(command)
    assert sent.refused.startswith(reason)
    assert (twin.pose, twin.world.joints, twin.collisions) == (pose, joints, 0)


@pytest.mark.parametrize("command", [Done(), Done(subgoal=True), Stop()])
def test_some_commands_move_nothing(twin: StretchTwin, command: Done) -> None:
    assert twin.execute(command).executed
    assert twin.pose == EPISODE.start


def test_history_holds_what_became_of_each_command(twin: StretchTwin) -> None:
    sent = [twin.execute(command) for command in (Grasp(), ACTIONS["rotate_left"], Done())]
    assert twin.history == sent


def test_in_real_time_a_move_takes_its_time_and_stop_ends_it() -> None:
    with StretchTwin(TwinOptions(move_noise_m=0.0, real_time=True)) as twin:
        twin.reset(EPISODE)
        begun = time.monotonic()
        lift = JointTarget(("joint_lift",), (0.8,))  # 4 s at 0.15 m/s
        timer = threading.Timer(0.2, twin.stop)
        timer.start()
        sent = twin.execute(lift)
        timer.join()
        assert sent.blocked == "stopped"
        assert not sent.executed
        assert 0.2 <= time.monotonic() - begun < 3.5
        assert 0.3 < twin.world.joints["joint_lift"] < 0.85
        assert twin.collisions == 0


def test_stop_before_a_move_does_not_end_it(twin: StretchTwin) -> None:
    twin.stop()
    assert twin.execute(ACTIONS["rotate_left"]).executed


def test_it_can_be_observed_while_it_moves() -> None:
    with StretchTwin(TwinOptions(height=24, width=40, real_time=True)) as twin:
        twin.reset(EPISODE)
        mover = threading.Thread(target=twin.execute, args=(MoveJoint("joint_lift", 0.1),))
        mover.start()
        lifts = []
        while mover.is_alive():
            lifts.append(float(twin.observe().state["joints"][0]))
        mover.join()
        assert lifts == sorted(lifts)
        assert len(set(lifts)) > 2


def test_options_change_the_looks_and_the_cameras() -> None:
    def rendered(**options: bool) -> tuple[np.ndarray, np.ndarray]:
        with StretchTwin(TwinOptions(**options)) as twin:
            twin.reset(EPISODE)
            model = twin.world.model
            return twin.observe().images["navigation"], np.array([*model.cam_pos.ravel(), *model.cam_fovy])

    plain, cameras = rendered()
    same, _ = rendered()
    assert np.array_equal(plain, same)
    randomised, still = rendered(randomise_appearance=True)
    assert not np.array_equal(plain, randomised)
    assert np.array_equal(cameras, still)
    assert not np.array_equal(cameras, rendered(randomise_cameras=True)[1])


def test_the_frame_for_videos_has_the_size_asked_for(twin: StretchTwin) -> None:
    frame = twin.frame(120, 160)
    assert frame.shape == (120, 160, 3)
    assert frame.std() > 5


def test_many_houses_one_after_the_other(twin: StretchTwin) -> None:
    for seed in (3, 11, 3):
        twin.reset(sample_episode(seed, 2))
        assert twin.observe().images["navigation"].shape == (84, 144, 3)
        assert twin.house.seed == seed


def test_it_can_be_connected_again() -> None:
    twin = StretchTwin()
    for _ in range(2):
        with twin:
            twin.reset(EPISODE)
            assert twin.observe().images
    with pytest.raises(NotConnected):
        twin.observe()
