"""Recovery from tight places."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_house import INSIDE_M, OUTLINE, small_house

from simulation.experts.recovery_search import MOVES, RecoverySearch
from simulation.navigation.costmap import Field, FreeSpace
from simulation.robot_models.body import BasePose
from simulation.twins.world import World, swept

OPEN_M = 0.34


@pytest.fixture(scope="module")
def world() -> World:
    return World(small_house())


@pytest.fixture(scope="module")
def field(world: World) -> Field:
    space = FreeSpace.around(world.house.obstacles, world.house.bounds, 1.42)
    goals = np.full(space.clearance_m.shape, np.inf)
    goals[space.cell(0.0, 1.0)] = 0.0
    return space.field(goals)


def follow(world: World, actions: list[str]) -> BasePose:
    """Plays the actions; fails where one touches anything."""
    for action in actions:
        poses = swept(world.base, MOVES[action])
        assert world.first_contact(poses) is None, action
        world.base = poses[-1]
    return world.base


def test_only_the_base_moves() -> None:
    assert set(MOVES) == {
        "move_ahead",
        "move_back",
        "rotate_left",
        "rotate_right",
        "rotate_left_small",
        "rotate_right_small",
    }


def test_nose_to_a_wall_it_backs_out(world: World, field: Field) -> None:
    world.base = (0.0, OUTLINE.y_max - INSIDE_M - 0.06, math.pi / 2)
    assert RecoverySearch(world, field, OPEN_M, math.inf).plan() == ["move_back", "move_back"]


def test_tail_to_a_wall_it_goes_ahead(world: World, field: Field) -> None:
    world.base = (0.0, OUTLINE.y_max - INSIDE_M - 0.29, -math.pi / 2)
    assert RecoverySearch(world, field, OPEN_M, math.inf).plan() == ["move_ahead"]


def test_flank_to_a_wall_it_swings_out_without_touching(world: World, field: Field) -> None:
    world.base = start = (0.0, OUTLINE.y_max - INSIDE_M - 0.20, 0.0)
    x, y, _ = follow(world, RecoverySearch(world, field, OPEN_M, math.inf).plan())
    assert (x, y) != start[:2]
    assert field.space.clearance_at(x, y) >= OPEN_M


def test_the_way_out_is_also_a_way_on(world: World, field: Field) -> None:
    world.base = (-1.0, -1.4 - 0.3 + 0.5 + 0.06, -math.pi / 2)  # nose to the wardrobe
    here = field.cost_at(*world.base[:2])
    x, y, _ = follow(world, RecoverySearch(world, field, OPEN_M, here - 0.15).plan())
    assert field.cost_at(x, y) < here - 0.15


def test_the_robot_stays_where_it_is(world: World, field: Field) -> None:
    world.base = pose = (0.0, OUTLINE.y_max - INSIDE_M - 0.06, math.pi / 2)
    RecoverySearch(world, field, OPEN_M, math.inf).plan()
    assert world.base == pose


def test_where_nothing_moves_there_is_no_plan(world: World, field: Field) -> None:
    world.base = (2.0, 0.0, 0.0)  # inside the table
    assert RecoverySearch(world, field, OPEN_M, math.inf).plan() == []


def test_it_gives_up_after_so_many_poses(world: World, field: Field) -> None:
    world.base = (0.0, OUTLINE.y_max - INSIDE_M - 0.06, math.pi / 2)
    assert RecoverySearch(world, field, OPEN_M, math.inf, max_expansions=1).plan() == []
