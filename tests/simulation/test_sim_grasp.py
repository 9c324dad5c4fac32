"""The hand sphere, what is held, where it ends, and the grasp with contact physics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from robots.command import Grasp, Release
from robots.embodiments.stretch_re1 import ACTIONS
from simulation.houses.cache import cached_house
from simulation.houses.house import HouseObject
from simulation.tasks.pick_up import sample_episode
from simulation.twins.grasp_physics import MASS_KG, holds
from simulation.twins.grasp_sphere import HAND_SPHERE_M, PICKUPABLE, Hand, distance_m, support_m
from simulation.twins.house_twin import StretchTwin, TwinOptions

EPISODE = sample_episode(7, 0)  # a house with two apples, a mug, a bowl and a basketball


@pytest.fixture(scope="module")
def connected() -> Iterator[StretchTwin]:
    with StretchTwin(TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)) as twin:
        yield twin


@pytest.fixture
def twin(connected: StretchTwin) -> StretchTwin:
    """In the middle of free floor, the wrist unfolded, the hand 0.6 m above the floor."""
    connected.reset(EPISODE)
    connected.world.move_joints({"joint_wrist_yaw": 0.0, "joint_lift": 0.6})
    connected.world.settle()
    assert connected.world.contact() is None
    return connected


def into_hand(twin: StretchTwin, name: str, offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> HouseObject:
    x, y, z = Hand(twin.world).centre_m + np.array(offset_m)
    twin.world.put(name, (float(x), float(y), float(z)), 0.0)
    twin.world.settle()
    return twin.world.object(name)


def test_what_may_be_taken_has_a_weight() -> None:
    assert set(MASS_KG) == set(PICKUPABLE)
    assert {"apple_0", "mug_0", "bowl_0", "basketball_0"} <= {thing.name for thing in cached_house(7).objects}


def test_a_grasp_of_nothing_is_refused(twin: StretchTwin) -> None:
    sent = twin.execute(Grasp())
    assert sent.refused == "nothing within reach of the gripper"
    assert (twin.held, twin.reached) == (None, None)
    assert twin.execute(Release()).refused == "the gripper holds nothing"


def test_the_sphere_ends_at_its_radius(twin: StretchTwin) -> None:
    half = twin.world.object("apple_0").size_m[2] / 2
    into_hand(twin, "apple_0", (0.0, 0.0, half + HAND_SPHERE_M + 0.001))
    assert Hand(twin.world).nearest() is None
    thing = into_hand(twin, "apple_0", (0.0, 0.0, half + HAND_SPHERE_M - 0.001))
    assert Hand(twin.world).nearest() == thing
    assert distance_m(thing, Hand(twin.world).centre_m) == pytest.approx(HAND_SPHERE_M - 0.001)


def test_the_nearest_of_several_is_taken(twin: StretchTwin) -> None:
    into_hand(twin, "mug_0", (0.0, 0.0, 0.09))
    into_hand(twin, "apple_0", (0.0, 0.0, -0.07))
    assert twin.execute(Grasp()).executed
    assert twin.held == twin.reached == "apple_0"


def test_furniture_of_the_floor_is_not_taken(twin: StretchTwin) -> None:
    other = next(thing.name for thing in twin.house.objects if thing.category not in PICKUPABLE)
    into_hand(twin, other)
    assert twin.execute(Grasp()).refused == "nothing within reach of the gripper"


def test_what_is_held_follows_the_hand(twin: StretchTwin) -> None:
    into_hand(twin, "mug_0", (0.02, 0.0, 0.01))
    before = np.array(twin.world.object("mug_0").position_m) - Hand(twin.world).centre_m
    assert twin.execute(Grasp()).executed
    assert twin.state()["hand"].tolist() == [1.0]
    for action in ("move_arm_out", "rotate_left", "wrist_open", "move_arm_up"):
        assert twin.execute(ACTIONS[action]).executed
    after = np.array(twin.world.object("mug_0").position_m) - Hand(twin.world).centre_m
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before))
    assert after[2] == pytest.approx(before[2])
    assert twin.world.data.body("mug_0").xpos == pytest.approx(twin.world.object("mug_0").position_m)
    assert twin.world.object("mug_0").yaw_rad == pytest.approx(
        np.deg2rad(40.0), abs=1e-4
    )  # the base's turn and the wrist's


def test_what_is_held_is_in_the_image(twin: StretchTwin) -> None:
    twin.world.move_joints({"joint_arm": 0.2})
    twin.world.settle()
    without = twin.observe().images["manipulation"].astype(int)
    into_hand(twin, "bowl_0")
    twin.execute(Grasp())
    for _ in range(2):
        with_it = twin.observe().images["manipulation"].astype(int)
        assert (np.abs(with_it - without).max(axis=2) > 30).sum() > 40
        twin.execute(ACTIONS["wrist_open"])


def test_a_second_grasp_is_refused(twin: StretchTwin) -> None:
    into_hand(twin, "apple_0")
    twin.execute(Grasp())
    into_hand(twin, "mug_0")
    assert twin.execute(Grasp()).refused == "the gripper holds apple_0"


def test_a_ball_on_the_floor_blocks_until_it_is_held_and_when_it_is_put_down(twin: StretchTwin) -> None:
    twin.world.move_joints({"joint_arm": 0.2})
    twin.world.settle()
    into_hand(twin, "basketball_0", (0.0, 0.0, -0.1))
    assert twin.world.contact() == "basketball_0"
    assert twin.execute(Grasp()).executed
    assert twin.world.contact() is None
    assert twin.execute(ACTIONS["rotate_left_small"]).executed
    assert twin.execute(Release()).executed
    ball = twin.world.object("basketball_0")
    assert ball.position_m[2] == pytest.approx(ball.size_m[2] / 2, abs=0.006)  # on a rug, perhaps
    assert twin.state()["hand"].tolist() == [0.0]
    x, y, _ = ball.position_m
    twin.world.base = (x, y, 0.0)
    assert twin.world.contact() == "basketball_0"


def test_what_is_let_go_over_a_table_stands_on_it(twin: StretchTwin) -> None:
    mug = twin.world.object("mug_0")  # on its table
    top = support_m(twin.world, mug)
    assert 0.3 < top < 1.0
    into_hand(twin, "apple_0")
    twin.execute(Grasp())
    x, y, _ = twin.world.base
    dx, dy, _ = np.array(mug.position_m) - Hand(twin.world).centre_m
    twin.world.base = (x + float(dx), y + float(dy), twin.world.base[2])
    twin.world.put("mug_0", (x, y, 3.0), 0.0)
    twin.world.move_joints({"joint_lift": 1.0})
    assert twin.execute(Release()).executed
    apple = twin.world.object("apple_0")
    assert apple.position_m[2] == pytest.approx(top + apple.size_m[2] / 2, abs=1e-3)
    assert apple.position_m[:2] == pytest.approx(mug.position_m[:2], abs=1e-3)


def test_the_next_episode_begins_as_the_house_is(twin: StretchTwin) -> None:
    into_hand(twin, "apple_0")
    twin.execute(Grasp())
    twin.reset(EPISODE)
    assert (twin.held, twin.reached, twin.world.carry) == (None, None, None)
    assert twin.house.objects == cached_house(7).objects


def test_fingers_hold_an_apple_and_push_what_is_wider_than_they_open(twin: StretchTwin) -> None:
    hand = Hand(twin.world)
    assert holds(twin.world, hand, into_hand(twin, "apple_0"))
    assert not holds(twin.world, hand, into_hand(twin, "basketball_0"))
    assert not holds(twin.world, hand, into_hand(twin, "apple_0", (0.0, 0.0, -0.12)))  # above it


def test_with_physics_a_sphere_is_not_enough() -> None:
    with StretchTwin(TwinOptions(grasp="physics")) as twin:
        twin.reset(EPISODE)
        twin.world.move_joints({"joint_wrist_yaw": 0.0, "joint_lift": 0.6})
        twin.world.settle()
        into_hand(twin, "basketball_0")
        twin.world.set_solid("basketball_0", False)
        assert twin.execute(Grasp()).blocked == "basketball_0 slipped out of the gripper"
        assert (twin.held, twin.reached) == (None, "basketball_0")
        into_hand(twin, "basketball_0", (0.0, 0.0, 1.0))
        into_hand(twin, "apple_0")
        assert twin.execute(Grasp()).executed
        assert twin.held == "apple_0"


def test_an_unknown_kind_of_grasp_is_refused() -> None:
    with pytest.raises(ValueError, match="grasp: got 'glue', expected 'sphere' or 'physics'"):
        TwinOptions(grasp="glue")
