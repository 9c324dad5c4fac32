"""ObjectNav of CHORES: episodes, where the target can be seen from, and when an episode is a success.

Success at `done`: any instance of the target category is visible in the navigation camera within 2 m (FLaRe, its
ObjectNavType task: `GetVisibleObjects maxDistance=2`). Here that means: a sample point of an instance lies at most
2.0 m from the base (horizontally, from the point between the wheels), in the navigation camera's frustum, and the ray
from the camera to it meets nothing else before it. The robot's own body does not block the ray.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulation.episode import EpisodeGenerationError, EpisodeSpec
from simulation.errors import SeedError
from simulation.houses.categories import category_of
from simulation.houses.clearance import Obstacle
from simulation.houses.house import House, HouseObject, generate_house
from simulation.navigation.costmap import CELL_M, DISC_M, Field, FreeSpace
from simulation.robot_models.body import BasePose, Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import goto_instruction
from simulation.twins.world import World

TASK = "object_nav"
SUCCESS_M = 2.0
"""Farthest visible point of the target at `done` (FLaRe `maxDistance=2`)."""

ROBOT_HEIGHT_M = 1.42
"""Top of the head; what hangs higher is no obstacle."""

START_CLEARANCE_M = 0.40
START_COST_M = 1.0
"""An episode starts farther than this from the goal, along the clearance-weighted way."""

CLEAR_POINTS = 3
"""Of the 8 sample points of an object, as many as should be in sight from a goal."""

GOAL_FAR_M = 1.5
_GOAL_NEAR_M = 0.75
_GOAL_BEST_M = 1.2
_EDGE_RAD = math.radians(4.0)

Floats = npt.NDArray[np.float64]
_INWARDS = np.array(
    [[0, 0, 0], [0, 0, 0.8], [0.7, 0, 0], [-0.7, 0, 0], [0, 0.7, 0], [0, -0.7, 0], [0.7, 0, 0.7], [-0.7, 0, 0.7]]
)


def sample_points(thing: HouseObject) -> Floats:
    """(8, 3) points of an object in the world [m], inside its bounding box, its middle first."""
    local = _INWARDS * np.array(thing.size_m) / 2
    c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
    points: Floats = np.array(thing.position_m) + local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return points


@lru_cache(maxsize=2)
def cached_house(seed: int) -> House:
    """`generate_house(seed)`, remembered while an episode in it is sampled and then played."""
    return generate_house(seed)


@lru_cache(maxsize=2)
def cached_space(seed: int) -> FreeSpace:
    """Free space of the house of `seed`."""
    house = cached_house(seed)
    return FreeSpace.around(house.obstacles, house.bounds, ROBOT_HEIGHT_M)


@dataclass(frozen=True)
class Goals:
    """Where a target can be seen from.

    Attributes:
        cost_m: (nx, ny) how much worse than the best place a cell is [m]; infinity where the target cannot be seen.
        instance: (nx, ny) index into the targets of the instance to face there.
    """

    cost_m: Floats
    instance: npt.NDArray[np.intp]


def named_targets(house: House, target: str, objects: Sequence[str] = ()) -> tuple[HouseObject, ...]:
    """The objects of a house that are called so, or, where none are named, all of the category `target`."""
    return tuple(thing for thing in house.objects if thing.name in objects) if objects else house.objects_of(target)


def targets_of(house: House, episode: EpisodeSpec) -> tuple[HouseObject, ...]:
    """The objects that count as target in an episode."""
    return named_targets(house, episode.target, episode.objects)


def goals_for(
    house: House, space: FreeSpace, target: str, eye: Eye = STRETCH_EYE, objects: Sequence[str] = ()
) -> Goals:
    """Cells where the disc fits and from which `eye` has one of the targets near, in the frustum and in sight."""
    cost = np.full(space.clearance_m.shape, np.inf)
    instance = np.zeros(space.clearance_m.shape, np.intp)
    for index, thing in enumerate(named_targets(house, target, objects)):
        one = _goal_cost(house, space, thing, eye)
        better = one < cost
        cost[better], instance[better] = one[better], index
    return Goals(cost, instance)


def _goal_cost(house: House, space: FreeSpace, thing: HouseObject, eye: Eye) -> Floats:
    cost = np.full(space.clearance_m.shape, np.inf)
    points = sample_points(thing)
    x, y = np.meshgrid(space.x_m, space.y_m, indexing="ij")
    distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])  # (nx, ny, points)
    nearest = distance.min(axis=-1)
    near = (space.clearance_m >= DISC_M) & (nearest <= GOAL_FAR_M) & (distance[..., 0] >= _GOAL_NEAR_M)
    cells = np.argwhere(near)
    if not len(cells):
        return cost
    eyes = np.column_stack([x[near], y[near], np.full(len(cells), eye.height_m)])
    blockers = _blockers(house, thing)
    seen = np.zeros((len(cells), len(points)), bool)
    for k, point in enumerate(points):
        asked = _in_height(eye, distance[near][:, k], point[2])
        seen[asked, k] = in_sight(eyes[asked], point, blockers, CELL_M / 2)
    closest = np.where(seen, distance[near], np.inf).min(axis=1)
    good = (seen.sum(axis=1) >= CLEAR_POINTS) & (closest <= GOAL_FAR_M)
    preference = np.abs(closest - _GOAL_BEST_M) + 0.5 * (space.clearance_m[near] < START_CLEARANCE_M)
    cost[near] = np.where(good, preference, np.inf)
    return cost


def _blockers(house: House, target: HouseObject) -> list[Obstacle]:
    """Boxes that may stand before a target: the obstacles, and what stands on the furniture."""
    small = [
        Obstacle(thing.name, (x, y), (depth / 2, width / 2), thing.yaw_rad, z - height / 2, z + height / 2)
        for thing in house.objects
        if not thing.is_on_floor
        for (x, y, z), (depth, width, height) in ((thing.position_m, thing.size_m),)
    ]
    x, y = np.array(target.position_m[0]), np.array(target.position_m[1])
    reach = GOAL_FAR_M + max(target.size_m)
    return [b for b in (*house.obstacles, *small) if b.name != target.name and b.distance_m(x, y) < reach]


def _in_height(eye: Eye, distance_m: Floats, z_m: float) -> npt.NDArray[np.bool_]:
    """Whether a point `z_m` above the floor is between the upper and lower edge of a camera that faces it."""
    down = np.arctan2(eye.height_m - z_m, np.maximum(distance_m - eye.forward_m, 1e-6))
    pitch, half = math.radians(eye.pitch_deg), math.radians(eye.fov_deg) / 2 - _EDGE_RAD
    inside: npt.NDArray[np.bool_] = np.abs(down - pitch) <= half
    return inside


def in_sight(
    eyes: Floats, point: Floats, obstacles: Sequence[Obstacle], margin_m: float = 0.0
) -> npt.NDArray[np.bool_]:
    """(n,) whether the segments from `eyes` (n, 3) to `point` (3,) pass every box, by `margin_m` to its sides.

    Slab test in each box's own frame.
    """
    clear = np.ones(len(eyes), bool)
    for box in obstacles:
        c, s = math.cos(box.yaw_rad), math.sin(box.yaw_rad)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        middle = np.array([*box.centre_xy_m, (box.bottom_m + box.top_m) / 2])
        u, v = box.half_xy_m
        half = np.array([u + margin_m, v + margin_m, (box.top_m - box.bottom_m) / 2])
        start, end = (eyes - middle) @ turn, (point - middle) @ turn
        way = end - start
        way = np.where(np.abs(way) < 1e-9, 1e-9, way)
        a, b = (-half - start) / way, (half - start) / way
        enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
        clear &= ~((enter < leave) & (leave > 0.0) & (enter < 0.999))
    return clear


@lru_cache(maxsize=4)
def cached_goals(seed: int, target: str, eye: Eye = STRETCH_EYE, objects: tuple[str, ...] = ()) -> tuple[Goals, Field]:
    """Goals of a body that sees with `eye` for the targets in the house of `seed`, and the field that leads to them."""
    space = cached_space(seed)
    goals = goals_for(cached_house(seed), space, target, eye, objects)
    return goals, space.field(goals.cost_m)


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws an ObjectNav episode: a target that can be reached and seen, and a start from which it takes a way to go.

    Where the robot fits is asked for the Stretch, the larger body; what can be seen is asked for `eye`.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: no category of this house has a start and a goal.
        HouseGenerationError: there is no such house.
    """
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, rng = cached_house(house_seed), np.random.default_rng([house_seed, seed])
    for target in rng.permutation(house.categories):
        start = draw_start_for(house_seed, str(target), rng, eye)
        if start is not None:
            instruction = goto_instruction(category_of(str(target)).name, rng)
            return EpisodeSpec(TASK, house_seed, start, str(target), instruction, seed, None, max_steps)
    raise EpisodeGenerationError(house_seed, f"no reachable target among {', '.join(house.categories)}")


def draw_start_for(
    house_seed: int, target: str, rng: np.random.Generator, eye: Eye, objects: tuple[str, ...] = ()
) -> BasePose | None:
    """A start from which it takes a way to go to the targets, None where there is none."""
    space = cached_space(house_seed)
    starts = far_starts(space, *cached_goals(house_seed, target, eye, objects))
    return draw_start(space, starts, rng) if len(starts) else None


def draw_start(space: FreeSpace, cells: npt.NDArray[np.intp], rng: np.random.Generator) -> BasePose:
    """A start in the middle of one of `cells` (n, 2), facing anywhere."""
    x, y = space.point(tuple(cells[rng.integers(len(cells))]))
    return x, y, math.radians(6.0 * int(rng.integers(60)))


def far_starts(space: FreeSpace, goals: Goals, field: Field) -> npt.NDArray[np.intp]:
    """(n, 2) cells to start in: free, away from the goals, and on one floor with one of them."""
    joined = np.isin(space.parts, np.unique(space.parts[np.isfinite(goals.cost_m)]))
    far = (field.cost_m > START_COST_M) & np.isfinite(field.cost_m)
    return np.argwhere((space.clearance_m >= START_CLEARANCE_M) & joined & far)


def visible_points(world: World, thing: HouseObject) -> list[Floats]:
    """Sample points (3,) of an object that the navigation camera sees, at any distance."""
    return [point for point in sample_points(thing) if world.sees(point, thing.name)]


def nearest_and_seen(world: World, things: Sequence[HouseObject]) -> tuple[float, bool]:
    """How far the base is from the nearest sample point of `things`, horizontally [m], and whether any is seen now.

    Infinity where there are no things.
    """
    x, y = world.base[:2]
    points = [point for thing in things for point in sample_points(thing)]
    nearest_m = float(min((math.hypot(point[0] - x, point[1] - y) for point in points), default=math.inf))
    return nearest_m, any(len(visible_points(world, thing)) > 0 for thing in things)


def is_success(world: World, target: str, objects: Sequence[str] = ()) -> bool:
    """Whether `done` would be a success now, for the targets that `named_targets` gives."""
    x, y, _ = world.base
    return any(
        math.hypot(point[0] - x, point[1] - y) <= SUCCESS_M and world.sees(point, thing.name)
        for thing in named_targets(world.house, target, objects)
        for point in sample_points(thing)
    )
