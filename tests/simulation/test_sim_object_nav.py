"""ObjectNav: goals, episodes and the success rule."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from small_house import BASKETBALL, MUG, TABLE, small_house

from simulation.errors import SeedError
from simulation.houses.cache import cached_house
from simulation.houses.clearance import Obstacle
from simulation.houses.house import HouseObject
from simulation.navigation.costmap import DISC_M, FreeSpace
from simulation.navigation.goals import (
    GOAL_FAR_M,
    ROBOT_HEIGHT_M,
    START_CLEARANCE_M,
    START_COST_M,
    cached_goals,
    cached_space,
    goals_for,
)
from simulation.navigation.visibility import in_sight, sample_points, visible_points
from simulation.tasks.object_nav import SUCCESS_M, is_success, sample_episode
from simulation.twins.world import World

SEEDS = range(12)


@pytest.fixture(scope="module")
def compiled() -> World:
    return World(small_house())


@pytest.fixture
def world(compiled: World) -> World:
    place(compiled, 0.0, 0.0, 0.0)
    return compiled


@pytest.fixture(scope="module")
def space() -> FreeSpace:
    house = small_house()
    return FreeSpace.around(house.obstacles, house.bounds, ROBOT_HEIGHT_M)


def place(world: World, x: float, y: float, yaw: float) -> None:
    world.base = (x, y, yaw)
    world.settle()


def test_sample_points_lie_inside_the_turned_box() -> None:
    thing = HouseObject("sofa_0", "sofa", (1.0, 2.0, 0.4), math.pi / 2, (0.9, 2.0, 0.8), 0)
    points = sample_points(thing)
    assert points.shape == (8, 3)
    assert points[0] == pytest.approx((1.0, 2.0, 0.4))
    assert points[:, 2].max() == pytest.approx(0.4 + 0.8 * 0.4)
    # its depth of 0.9 m now lies along y, its width of 2.0 m along x
    assert np.abs(points[:, 0] - 1.0).max() == pytest.approx(0.7 * 1.0)
    assert np.abs(points[:, 1] - 2.0).max() == pytest.approx(0.7 * 0.45)


def test_a_box_between_hides_and_a_low_one_does_not() -> None:
    eyes = np.array([[0.0, 0.0, 1.3], [0.0, 2.0, 1.3]])
    point = np.array([2.0, 0.0, 0.8])
    tall = Obstacle("tall", (1.0, 0.0), (0.1, 0.1), 0.3, 0.0, 1.8)
    low = Obstacle("low", (1.0, 0.0), (0.1, 0.1), 0.3, 0.0, 0.9)
    assert in_sight(eyes, point, [tall]).tolist() == [False, True]
    assert in_sight(eyes, point, [low]).tolist() == [True, True]
    assert in_sight(eyes, point, []).tolist() == [True, True]


def test_a_margin_makes_boxes_wider() -> None:
    eyes, point = np.array([[0.0, 0.15, 1.0]]), np.array([2.0, 0.15, 1.0])
    box = [Obstacle("box", (1.0, 0.0), (0.1, 0.1), 0.0, 0.0, 1.8)]
    assert in_sight(eyes, point, box).all()
    assert not in_sight(eyes, point, box, margin_m=0.1).any()


def test_what_lies_behind_the_point_does_not_hide_it() -> None:
    eyes, point = np.array([[0.0, 0.0, 1.0]]), np.array([1.0, 0.0, 1.0])
    assert in_sight(eyes, point, [Obstacle("wall", (1.5, 0.0), (0.1, 3.0), 0.0, 0.0, 2.4)]).all()


def test_goals_are_near_free_and_in_sight(space: FreeSpace) -> None:
    goals = goals_for(small_house(), space, "mug")
    cells = np.argwhere(np.isfinite(goals.cost_m))
    assert len(cells) > 20
    for cell in map(tuple, cells):
        x, y = space.point(cell)
        assert space.clearance_m[cell] >= DISC_M
        assert math.hypot(x - MUG.position_m[0], y - MUG.position_m[1]) <= GOAL_FAR_M + 0.1


def test_facing_the_target_from_any_goal_is_a_success(space: FreeSpace, world: World) -> None:
    for target, thing in (("mug", MUG), ("basketball", BASKETBALL)):
        goals = goals_for(small_house(), space, target)
        for cell in map(tuple, np.argwhere(np.isfinite(goals.cost_m))):
            x, y = space.point(cell)
            place(world, x, y, math.atan2(thing.position_m[1] - y, thing.position_m[0] - x))
            assert is_success(world, target), (target, x, y)


def test_a_ball_on_the_floor_is_looked_at_from_farther_than_a_mug_on_a_table(space: FreeSpace) -> None:
    def nearest(thing: HouseObject) -> float:
        cells = np.argwhere(np.isfinite(goals_for(small_house((thing,)), space, thing.category).cost_m))
        points = [space.point((int(i), int(j))) for i, j in cells]
        return min(math.dist(point, thing.position_m[:2]) for point in points)

    mug = replace(MUG, position_m=(1.65, 0.0, 0.8))
    ball = replace(BASKETBALL, position_m=(0.0, 1.0, 0.125))
    assert nearest(mug) < 0.9 < nearest(ball)


def test_each_goal_knows_which_of_two_to_face(space: FreeSpace) -> None:
    other = replace(MUG, name="mug_1", position_m=(-1.0, -1.55, 1.86))
    near = replace(MUG, name="mug_1", position_m=(1.7, 0.5, 0.8))
    goals = goals_for(small_house((MUG, near)), space, "mug")
    seen = goals.instance[np.isfinite(goals.cost_m)]
    assert set(seen.tolist()) == {0, 1}
    # on a wardrobe, above the upper edge of the camera: never a goal
    alone = goals_for(small_house((other,)), space, "mug")
    assert not np.isfinite(alone.cost_m).any()


def test_success_needs_two_metres(world: World) -> None:
    x = MUG.position_m[0]
    nearest = 0.7 * MUG.size_m[0] / 2
    place(world, x - nearest - SUCCESS_M + 0.02, 0.0, 0.0)
    assert is_success(world, "mug")
    place(world, x - nearest - SUCCESS_M - 0.02, 0.0, 0.0)
    assert not is_success(world, "mug")


def test_success_needs_the_target_in_the_image(world: World) -> None:
    place(world, 0.7, 0.0, math.pi)
    assert not is_success(world, "mug")
    place(world, 0.7, 0.0, math.radians(30))
    assert is_success(world, "mug")


def test_success_needs_an_open_view(world: World) -> None:
    x, y, _ = BASKETBALL.position_m
    place(world, x, y + 1.5, -math.pi / 2)
    assert is_success(world, "basketball")
    assert len(visible_points(world, BASKETBALL)) >= 6
    place(world, x + 2.2, y, math.pi)  # the wardrobe stands between
    assert visible_points(world, BASKETBALL) == []
    assert not is_success(world, "basketball")


def test_a_target_that_is_not_there_is_never_a_success(world: World) -> None:
    place(world, 0.7, 0.0, 0.0)
    assert not is_success(world, "toilet")


@pytest.mark.parametrize("seed", SEEDS)
def test_an_episode_starts_free_and_away_from_its_goal(seed: int) -> None:
    episode = sample_episode(seed, 1)
    x, y, yaw = episode.start
    goals, field = cached_goals(seed, episode.target)
    assert cached_space(seed).clearance_at(x, y) >= START_CLEARANCE_M - 1e-6
    assert START_COST_M < field.cost_at(x, y) < math.inf
    assert math.degrees(yaw) / 6 == pytest.approx(round(math.degrees(yaw) / 6))
    assert episode.target in cached_house(seed).categories
    assert episode.instruction.endswith(episode.target)
    assert (episode.task, episode.expert_steps, episode.max_steps) == ("object_nav", None, 600)
    assert np.isfinite(goals.cost_m).any()


def test_episodes_are_drawn_by_their_seed() -> None:
    assert sample_episode(3, 5, max_steps=9) == sample_episode(3, 5, max_steps=9)
    assert len({sample_episode(3, seed).start for seed in range(8)}) > 4
    assert len({sample_episode(3, seed).target for seed in range(20)}) > 2


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(SeedError, match="episode seed: got -1"):
        sample_episode(3, -1)


def test_the_table_is_where_the_tests_think() -> None:
    assert TABLE.size_m[2] == pytest.approx(MUG.position_m[2] - MUG.size_m[2] / 2)
