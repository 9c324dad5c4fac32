"""Fetch of CHORES: find an object anywhere in the house and grasp it. Success at `done`: it is held.

FLaRe's FetchType (tasks/fetch_task.py; 600 steps); template "{verb} a(n) {obj} and {pick verb} that {obj}" (FLaRe
utils/task_spec_to_instruction.py).
"""

from __future__ import annotations

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.categories import category_of
from simulation.navigation.arm_reach import cached_reach
from simulation.navigation.goals import cached_space, draw_start, far_starts
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import goto_instruction
from simulation.tasks.pick_up import PICK_UP_VERBS
from simulation.twins.grasp_sphere import PICKUPABLE

TASK = "fetch"


def fetch_instruction(category: str, rng: np.random.Generator) -> str:
    """Writes the instruction to find and grasp an object, e.g. "find an apple and grab that apple"."""
    take = PICK_UP_VERBS[int(rng.integers(len(PICK_UP_VERBS)))]
    return f"{goto_instruction(category, rng)} and {take} that {category}"


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws a Fetch episode: an object that the arm can reach, and a start away from it.

    `eye` is not used: the object need not be visible.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: nothing in this house can be taken from a place that can be reached.
        HouseGenerationError: the house cannot be generated.
    """
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, space = cached_house(house_seed), cached_space(house_seed)
    rng = np.random.default_rng([house_seed, seed, 3])
    for target in rng.permutation([name for name in house.categories if name in PICKUPABLE]):
        goals, field = cached_reach(house_seed, str(target))
        starts = far_starts(space, goals, field)
        if len(starts):
            start = draw_start(space, starts, rng)
            instruction = fetch_instruction(category_of(str(target)).name, rng)
            return EpisodeSpec(TASK, house_seed, start, str(target), instruction, seed, None, max_steps)
    raise EpisodeGenerationError(house_seed, "no object that the arm can reach from a free place")
