"""PickUp of CHORES: grasp an object that is visible and near. Success at `done`: it is held.

FLaRe's PickupType (tasks/pickup_task.py: an object of the target's kind is among those held; 600 steps). Its
validation episodes take the expert 25 to 52 decisions, 42 in the median.
"""

from __future__ import annotations

import math

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.categories import category_of
from simulation.houses.house import House
from simulation.navigation.arm_reach import Reach, cached_reach
from simulation.navigation.costmap import Cell, Field, FreeSpace
from simulation.navigation.goals import START_CLEARANCE_M, Goals, cached_space
from simulation.navigation.visibility import Floats, in_sight, sample_points
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import with_article
from simulation.twins.grasp_sphere import PICKUPABLE

TASK = "pick_up"

PICK_UP_VERBS = ("pick up", "take", "grab", "grasp", "clutch", "hold")
"""FLaRe utils/constants/template_verbs.py."""

NEAR_M, FAR_M = 0.7, 1.8
"""Distance from the object at the start of an episode."""

_FACING_RAD = math.radians(18.0)
_SMALL_TURN_RAD = math.radians(6.0)


def pick_up_instruction(category: str, rng: np.random.Generator) -> str:
    """Writes the instruction to grasp an object, e.g. "grab an apple" (FLaRe utils/task_spec_to_instruction.py)."""
    return f"{PICK_UP_VERBS[int(rng.integers(len(PICK_UP_VERBS)))]} {with_article(category)}"


def is_held(house: House, held: str | None, target: str) -> bool:
    """Returns whether the object called `held` is of the category `target`."""
    return any(thing.name == held for thing in house.objects_of(target))


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws a PickUp episode: an object that the arm can reach, and a start near it from which it is visible.

    Args:
        house_seed: of the house.
        seed: of the draw and of the noise in the episode.
        max_steps: longest episode.
        eye: the robot's camera at the start.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: nothing in this house can be taken from a place that can be reached.
        HouseGenerationError: the house cannot be generated.
    """
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, space = cached_house(house_seed), cached_space(house_seed)
    rng = np.random.default_rng([house_seed, seed, 2])
    for target in rng.permutation([name for name in house.categories if name in PICKUPABLE]):
        goals, field = cached_reach(house_seed, str(target))
        for index in rng.permutation(len(house.objects_of(str(target)))):
            starts = _starts(house, space, goals, field, str(target), int(index), eye)
            if starts:
                return _episode(house_seed, seed, str(target), int(index), starts, rng, max_steps)
    raise EpisodeGenerationError(house_seed, "no object that the arm can reach from a free place with a start near it")


def _episode(
    house_seed: int, seed: int, target: str, index: int, starts: list[Cell], rng: np.random.Generator, max_steps: int
) -> EpisodeSpec:
    x, y = cached_space(house_seed).point(starts[int(rng.integers(len(starts)))])
    thing = cached_house(house_seed).objects_of(target)[index]
    towards = math.atan2(thing.position_m[1] - y, thing.position_m[0] - x) + rng.uniform(-_FACING_RAD, _FACING_RAD)
    yaw = _SMALL_TURN_RAD * round(towards / _SMALL_TURN_RAD)
    instruction = pick_up_instruction(category_of(target).name, rng)
    return EpisodeSpec(TASK, house_seed, (x, y, yaw), target, instruction, seed, None, max_steps)


def _starts(
    house: House, space: FreeSpace, goals: Goals, field: Field, target: str, index: int, eye: Eye
) -> list[Cell]:
    """Free cells near the object from which it is visible, connected to a place to grasp it from."""
    thing = house.objects_of(target)[index]
    mine = np.isfinite(goals.cost_m) & (goals.instance == index)
    away = np.hypot(*np.meshgrid(space.x_m - thing.position_m[0], space.y_m - thing.position_m[1], indexing="ij"))
    joined = np.isin(space.parts, np.unique(space.parts[mine]))
    near = joined & (away >= NEAR_M) & (away <= FAR_M) & (space.clearance_m >= START_CLEARANCE_M)
    cells = np.argwhere(near & np.isfinite(field.cost_m))
    if not mine.any() or not len(cells):
        return []
    eyes = np.column_stack([space.x_m[cells[:, 0]], space.y_m[cells[:, 1]], np.full(len(cells), eye.height_m)])
    seen = _seen(Reach(house, thing), eyes, eye)
    return [(int(i), int(j)) for i, j in cells[seen]]


def _seen(reach: Reach, eyes: Floats, eye: Eye) -> np.ndarray:
    """Mask (n,): the centre of the object is visible, and low enough, for a robot that faces it."""
    point = sample_points(reach.thing)[0]
    down = np.arctan2(eye.height_m - point[2], np.hypot(*(eyes[:, :2] - point[:2]).T))
    half = math.radians(eye.fov_deg) / 2
    inside = np.abs(down - math.radians(eye.pitch_deg)) < half
    return np.asarray(inside & in_sight(eyes, point, reach.blockers))
