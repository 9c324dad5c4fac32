"""The LoCoBot's twin: a robot whose two remapped slots move what it sees, in the houses of the Stretch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from small_house import small_house

from robots.cameras.letterbox import letterbox
from robots.command import Grasp, LookAt, MoveBase, MoveJoint, SetGripper
from robots.embodiments.locobot import DEFAULT_CAMERA_SLOTS, LENS_FOV_DEG, PAN, TILT
from robots.embodiments.stretch_re1 import ACTIONS, SPOC_ACTIONS
from robots.errors import SpecError
from robots.limits import limit
from robots.spec import U8Image
from simulation.episode import EpisodeSpec
from simulation.expert_length import NOISELESS, expert_length
from simulation.experts.object_nav import ObjectNavExpert
from simulation.gym_env import TOKENS, FerryEnv
from simulation.houses.house import HouseObject
from simulation.houses.seeds import house_seed
from simulation.robot_models.locobot import LOCOBOT_EYE, Locobot
from simulation.task_registry import is_success
from simulation.tasks.object_nav import sample_episode
from simulation.twins import house_twin as twin_module
from simulation.twins.locobot import LocobotOptions, LocobotTwin, beyond_lens_black
from simulation.twins.registry import make_twin

HEIGHT, WIDTH = 224, 384
FOCAL_PX = HEIGHT / 2 / math.tan(math.radians(59.0) / 2)
STILL = LocobotOptions(HEIGHT, WIDTH, move_noise_m=0.0, turn_noise_rad=0.0)
EPISODE = sample_episode(3, 1, eye=LOCOBOT_EYE)
AXIS = 0.1014 - 0.05318, 0.5617  # the tilt axis, ahead of the axle and above the floor [m]
LENS_M = 0.05318  # from the tilt axis to the lens


@pytest.fixture(scope="module")
def connected() -> Iterator[LocobotTwin]:
    with LocobotTwin(STILL) as twin:
        yield twin


@pytest.fixture
def twin(connected: LocobotTwin) -> LocobotTwin:
    connected.reset(EPISODE)
    return connected


def with_ball(
    monkeypatch: pytest.MonkeyPatch, options: LocobotOptions, ball_m: tuple[float, float, float]
) -> LocobotTwin:
    """A twin at the origin of a room with nothing in it but a ball in the air."""
    ball = HouseObject("basketball_0", "basketball", ball_m, 0.0, (0.25, 0.25, 0.25), 0)
    monkeypatch.setattr(twin_module, "cached_house", lambda seed: small_house((ball,)))
    made = LocobotTwin(options)
    made.connect()
    made.reset(EpisodeSpec("object_nav", 0, (0.0, 0.0, 0.0), "basketball", "find a basketball", 0))
    return made


def middle_of_ball(image: U8Image) -> tuple[float, float]:
    """(row, column) of the orange pixels."""
    rows, columns = np.nonzero(image[..., 0].astype(int) - image[..., 2] > 90)
    assert len(rows) > 50, "no ball in the image"
    return float(rows.mean() + 0.5), float(columns.mean() + 0.5)


def expected_row(ball_m: tuple[float, float, float], tilt_rad: float) -> float:
    """The row at which a pinhole on a tilting lever sees the ball, by hand."""
    eye = AXIS[0] + LENS_M * math.cos(tilt_rad), AXIS[1] + LENS_M * math.sin(tilt_rad)
    elevation = math.atan2(ball_m[2] - eye[1], ball_m[0] - eye[0])
    return HEIGHT / 2 - FOCAL_PX * math.tan(elevation - tilt_rad)


@pytest.mark.parametrize(("slot", "sign"), [("move_arm_up", 1.0), ("move_arm_down", -1.0)])
def test_the_default_slots_tilt_the_image_by_30_degrees(
    monkeypatch: pytest.MonkeyPatch, slot: str, sign: float
) -> None:
    ball = (1.9, 0.0, 0.5617 + sign * 0.48)  # 15 degrees up or down, so that it stays in the lens
    twin = with_ball(monkeypatch, STILL, ball)
    before = middle_of_ball(twin.observe().images["navigation"])
    assert twin.execute(twin.spec.actions[slot]).executed
    after = middle_of_ball(twin.observe().images["navigation"])
    twin.disconnect()
    assert before[0] == pytest.approx(expected_row(ball, 0.0), abs=2.0)
    assert after[0] == pytest.approx(expected_row(ball, sign * math.radians(30.0)), abs=2.0)
    assert sign * (after[0] - before[0]) == pytest.approx(110.0, abs=4.0)
    assert after[1] == pytest.approx(before[1], abs=1.5)


def test_a_slot_that_a_user_chose_pans_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    options = LocobotOptions(HEIGHT, WIDTH, camera_slots=f"wrist_open:{PAN}:0.35,wrist_close:{PAN}:-0.35")
    ball = (1.9, 0.0, 0.5617)
    twin = with_ball(monkeypatch, options, ball)
    twin.execute(twin.spec.actions["wrist_open"])  # counter-clockwise, so that the ball goes to the right
    row, column = middle_of_ball(twin.observe().images["navigation"])
    twin.disconnect()
    eye = 0.0232 + (0.0250 + LENS_M) * math.cos(0.35), (0.0250 + LENS_M) * math.sin(0.35)  # about the pan axis
    bearing = math.atan2(-eye[1], ball[0] - eye[0])
    assert column == pytest.approx(WIDTH / 2 + FOCAL_PX * math.tan(0.35 - bearing), abs=2.0)
    assert row == pytest.approx(HEIGHT / 2, abs=2.0)
    assert "move_arm_up" in twin.spec.masked


def test_it_sees_as_much_as_its_lens(twin: LocobotTwin) -> None:
    image = twin.observe().images["navigation"]
    lit = np.argwhere(image.any(axis=2))
    rows, columns = lit.max(axis=0) - lit.min(axis=0) + 1
    across, up = (2 * math.degrees(math.atan(size / 2 / FOCAL_PX)) for size in (columns, rows))
    assert (across, up) == pytest.approx(LENS_FOV_DEG, abs=0.8)


def test_a_driver_frames_a_camera_as_the_twin_does() -> None:
    body, camera = Locobot(), LocobotTwin(STILL).spec.cameras[0]
    raw = np.full((720, 1280, 3), 255, np.uint8)
    from_driver = letterbox(raw, LENS_FOV_DEG[1], camera)
    from_twin = beyond_lens_black(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), body)
    assert (from_driver != from_twin).mean() < 0.01  # a row or a column of rounding


def test_a_lens_that_sees_all_of_the_image_leaves_it_as_it_is() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    assert beyond_lens_black(image.copy(), Locobot(lens_fov_deg=(90.3, 59.0))).all()
    assert beyond_lens_black(image.copy(), Locobot(image_fov_deg=42.5)).mean() > 250


def test_an_observation_fits_the_spec(twin: LocobotTwin) -> None:
    seen = twin.observe()
    twin.spec.cameras[0].check(seen.images["navigation"])
    for group, spec in twin.spec.state.items():
        spec.check(seen.state[group])
    assert seen.instruction == EPISODE.instruction


def test_what_it_lacks_is_refused(twin: LocobotTwin) -> None:
    for command in (Grasp(), SetGripper(0.1), MoveJoint("joint_lift", 0.1)):
        assert twin.execute(command).refused.startswith("locobot ")
    assert not twin.history[-1].executed
    assert twin.execute(LookAt(9.0, 9.0)).clipped == (PAN, TILT)


def test_its_round_base_is_blocked_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = with_ball(monkeypatch, STILL, (1.9, 1.0, 2.0))
    for _ in range(30):
        sent = twin.execute(MoveBase(0.1))
        if sent.blocked:
            break
    assert sent.blocked == "contact with table_0"
    assert twin.pose[0] == pytest.approx(1.6 - 0.205 - 0.03, abs=0.11)  # the hand, folded, is ahead of the base
    assert twin.collisions == 1
    twin.disconnect()


def test_another_calibration_looks_elsewhere() -> None:
    def rendered(seed: int, **options: bool) -> U8Image:
        with LocobotTwin(LocobotOptions(84, 144, **options)) as twin:
            twin.reset(EpisodeSpec("object_nav", 3, EPISODE.start, EPISODE.target, "", seed))
            return twin.observe().images["navigation"]

    assert np.array_equal(rendered(1), rendered(2))
    assert not np.array_equal(rendered(1, randomise_cameras=True), rendered(2, randomise_cameras=True))
    assert not np.array_equal(rendered(1), rendered(1, randomise_appearance=True))


def test_success_is_what_its_own_camera_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    near, low = (1.5, 0.0, 0.6), (0.45, 0.0, 0.1)
    for ball, seen in ((near, True), (low, False), ((-1.5, 0.0, 0.6), False), ((1.5, 1.2, 0.6), False)):
        twin = with_ball(monkeypatch, STILL, ball)
        assert is_success(twin) is seen, ball
        twin.disconnect()
    twin = with_ball(monkeypatch, STILL, low)
    twin.execute(twin.spec.actions["move_arm_down"])
    twin.execute(MoveJoint(TILT, -math.radians(20.0)))
    assert is_success(twin)
    twin.disconnect()


def test_the_expert_solves_its_episodes_with_base_moves_alone() -> None:
    moves = set(SPOC_ACTIONS.names[:8])
    with LocobotTwin(LocobotOptions(24, 40)) as twin:
        expert, solved = ObjectNavExpert(twin), 0
        for index in range(4):
            twin.reset(sample_episode(house_seed("val", index), index, eye=twin.eye))
            for _ in range(150):
                action = expert.action()
                assert action in moves
                if action == "done":
                    solved += is_success(twin)
                    break
                twin.execute(twin.spec.actions[action])
    assert solved == 4


def test_the_experts_length_is_measured_on_its_own_body() -> None:
    assert expert_length(EPISODE, make_twin("locobot", NOISELESS))


def test_an_environment_has_the_20_actions_and_refuses_those_it_lacks() -> None:
    env = FerryEnv(LocobotOptions(24, 40), body="locobot", split="val", max_steps=5)
    seen, _ = env.reset(seed=0)
    assert env.action_space.n == 20
    assert np.array_equal(seen["navigation"], seen["manipulation"])
    assert [name for name, there in zip(SPOC_ACTIONS.names, env.mask, strict=True) if not there] == [
        name for name in ACTIONS if name in env.twin.spec.masked
    ]
    with pytest.raises(SpecError, match="action: got 'pickup'"):
        env.step(np.int64(SPOC_ACTIONS.index("pickup")))
    before = seen["navigation"]
    seen, reward, *_ = env.step(np.int64(SPOC_ACTIONS.index("move_arm_down")))
    assert seen["previous_action"] == SPOC_ACTIONS.index("move_arm_down") != TOKENS.blocked
    assert not np.array_equal(before, seen["navigation"])
    assert reward == 0.0
    for _ in range(3):
        assert env.mask[env.action_space.sample(env.mask)]
    env.close()


def test_an_environment_takes_the_stretchs_options_for_it_too() -> None:
    env = FerryEnv(NOISELESS, body="locobot")
    assert (env.twin.spec.name, env.twin.options.move_noise_m) == ("locobot", 0.0)
    with pytest.raises(SpecError, match="body of the twin: got 'spot'"):
        FerryEnv(body="spot")


def test_the_default_slots_are_those_of_the_table() -> None:
    spec = LocobotTwin().spec
    for name, command in DEFAULT_CAMERA_SLOTS.items():
        assert spec.actions[name] == command
        assert not limit(command, spec, {PAN: 0.0, TILT: 0.0}).refused
