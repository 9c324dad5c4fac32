"""A compiled house with the robot: pose, contact and sight."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_house import INSIDE_M, MUG, OUTLINE, small_house

from robots.command import MoveBase, RotateBase
from simulation.robot_models.stretch import STOWED
from simulation.twins.world import SLICE_M, SLICE_RAD, World, swept, wrapped


@pytest.fixture(scope="module")
def compiled() -> World:
    return World(small_house())


@pytest.fixture
def world(compiled: World) -> World:
    compiled.base = (0.0, 0.0, 0.0)
    compiled.move_joints(STOWED)
    compiled.settle()
    return compiled


def test_nothing_touches_in_the_open(world: World) -> None:
    assert world.contact() is None


@pytest.mark.parametrize(
    ("pose", "name"),
    [
        ((1.6, 0.0, 0.0), "table_0"),
        ((-1.0, -1.6, 0.0), "wardrobe_0"),
        ((-2.5, -2.0, 0.0), "basketball_0"),
    ],
)
def test_what_is_touched_has_a_name(world: World, pose: tuple[float, float, float], name: str) -> None:
    world.base = pose
    assert world.contact() == name


def test_the_body_ends_where_its_boxes_end(world: World) -> None:
    front, back, wall = 0.051, 0.279, OUTLINE.x_max - INSIDE_M
    world.base = (wall - front - 0.01, 1.5, 0.0)
    assert world.contact() is None
    world.base = (wall - front + 0.01, 1.5, 0.0)
    assert str(world.contact()).startswith("wall_")
    world.base = (wall - back - 0.01, 1.5, math.pi)
    assert world.contact() is None
    world.base = (wall - back + 0.01, 1.5, math.pi)
    assert str(world.contact()).startswith("wall_")


def test_an_arm_that_is_out_reaches_to_the_right(world: World) -> None:
    world.base = (0.0, -1.7, 0.0)
    assert world.contact() is None
    world.move_joints({"joint_arm": 0.5, "joint_wrist_yaw": 0.0})
    assert str(world.contact()).startswith("wall_")


def test_a_look_ahead_leaves_the_robot_where_it_is(world: World) -> None:
    assert world.first_contact(swept(world.base, MoveBase(1.5))) is None
    assert world.first_contact(swept(world.base, MoveBase(2.0))) == "table_0"
    assert world.base == (0.0, 0.0, 0.0)
    assert world.contact() is None


def test_a_point_ahead_is_seen_and_one_behind_is_not(world: World) -> None:
    middle = np.array(MUG.position_m)
    assert world.sees(middle, MUG.name)
    world.base = (0.0, 0.0, math.pi)
    world.settle()
    assert not world.sees(middle, MUG.name)


def test_the_manipulation_camera_looks_to_the_right(world: World) -> None:
    middle = np.array(MUG.position_m)
    assert not world.sees(middle, MUG.name, camera="manipulation")
    world.base = (0.0, 0.0, math.pi / 2)
    world.settle()
    assert world.sees(middle, MUG.name, camera="manipulation")


def test_the_frustum_has_edges(world: World) -> None:
    # 88 degrees wide at 12:7, so that 40 degrees to the side are in and 48 are out
    for bearing, expected in ((40.0, True), (48.0, False), (-40.0, True), (-48.0, False)):
        world.base = (0.0, 0.0, math.radians(bearing))
        world.settle()
        assert world.sees(np.array(MUG.position_m), MUG.name) is expected


def test_the_floor_at_the_feet_is_out_of_sight(world: World) -> None:
    assert not world.sees(np.array([0.6, 0.0, 0.0]), MUG.name)
    assert world.sees(np.array([1.2, 0.0, 0.01]), MUG.name)


def test_furniture_hides_what_is_behind_it(world: World) -> None:
    ball = np.array([-2.5, -2.0, 0.125])
    world.base = (0.5, -1.7, math.pi)
    world.settle()
    assert not world.sees(ball, "basketball_0")
    world.base = (-2.5, 0.0, -math.pi / 2)
    world.settle()
    assert world.sees(ball, "basketball_0")


def test_a_thing_does_not_hide_itself_but_hides_others(world: World) -> None:
    behind = np.array([1.75, 0.0, 0.75])  # just behind the mug, as seen from here
    assert world.sees(behind, MUG.name)
    assert not world.sees(np.array([1.80, 0.0, 0.75]), "basketball_0")


def test_a_sweep_ends_where_the_move_ends() -> None:
    poses = swept((1.0, 1.0, math.pi / 2), MoveBase(-0.2))
    assert poses[-1] == pytest.approx((1.0, 0.8, math.pi / 2))
    assert len(poses) == round(0.2 / SLICE_M)
    turned = swept((1.0, 1.0, 3.0), RotateBase(math.radians(30)))
    assert turned[-1] == pytest.approx((1.0, 1.0, 3.0 + math.radians(30) - 2 * math.pi))
    assert len(turned) == round(math.radians(30) / SLICE_RAD)


def test_angles_are_wrapped() -> None:
    assert wrapped(math.pi) == pytest.approx(-math.pi)
    assert wrapped(-3.5 * math.pi) == pytest.approx(0.5 * math.pi)
    assert wrapped(0.3) == pytest.approx(0.3)
