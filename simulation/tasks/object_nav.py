"""ObjectNav of CHORES: episode sampling and the success predicate.

Success at `done`: any instance of the target category is visible in the navigation camera within 2 m (FLaRe, its
ObjectNavType task: `GetVisibleObjects maxDistance=2`). Here that means: a sample point of an instance lies at most
2.0 m from the base (horizontally, from the point between the wheels), in the navigation camera's frustum, and the ray
from the camera to it is not blocked. The robot's own body does not block the ray.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.categories import category_of
from simulation.navigation.goals import draw_start_for, named_targets
from simulation.navigation.visibility import sample_points
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import goto_instruction
from simulation.twins.world import World

TASK = "object_nav"
SUCCESS_M = 2.0
"""Largest distance of a visible point of the target at `done` (FLaRe `maxDistance=2`)."""


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws an ObjectNav episode: a reachable and visible target, and a start away from it.

    Free space is that of the Stretch, the larger robot; visibility is that of `eye`.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: no category of this house has a start and a goal.
        HouseGenerationError: the house cannot be generated.
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


def is_success(world: World, target: str, objects: Sequence[str] = ()) -> bool:
    """Returns whether `done` would be a success now, for the targets that `named_targets` returns."""
    x, y, _ = world.base
    return any(
        math.hypot(point[0] - x, point[1] - y) <= SUCCESS_M and world.sees(point, thing.name)
        for thing in named_targets(world.house, target, objects)
        for point in sample_points(thing)
    )
