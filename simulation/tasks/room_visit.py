"""RoomVisit of CHORES: see every room of the house, mark each with `sub_done`, and end with `done`.

Success at `done`: each room was marked by a `sub_done` while in it (FLaRe tasks/room_visit_task.py); marking
a room twice costs nothing but the decision. The room that an episode starts in counts too, and a house
of one room is an episode as well. Its data set is called SimpleExploreHouse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.house import House
from simulation.navigation.costmap import Point
from simulation.navigation.goals import START_CLEARANCE_M, cached_space, draw_start
from simulation.navigation.rooms import inside, rooms_at
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import visit_instruction

TASK = "room_visit"
MAX_STEPS = 1000
"""FLaRe online_evaluation/max_episode_configs.py."""


def sample_episode(
    house_seed: int, seed: int = 0, *, max_steps: int = MAX_STEPS, eye: Eye = STRETCH_EYE
) -> EpisodeSpec:
    """Draws a RoomVisit episode: a start clearly in one of the rooms, from which all of them can be reached.

    `eye` is not used.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: not every room can be reached.
        HouseGenerationError: the house cannot be generated.
    """
    del eye
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, space = cached_house(house_seed), cached_space(house_seed)
    rooms = [inside(space, room) for room in house.rooms]
    floors = set.intersection(*({int(part) for part in np.unique(space.parts[room])} for room in rooms)) - {0}
    roomy = (space.clearance_m >= START_CLEARANCE_M) & np.isin(space.parts, list(floors))
    starts = np.argwhere(np.logical_or.reduce(rooms) & roomy)
    if not len(starts):
        raise EpisodeGenerationError(house_seed, f"no floor leads into all of its {len(rooms)} rooms")
    start = draw_start(space, starts, np.random.default_rng([house_seed, seed]))
    return EpisodeSpec(TASK, house_seed, start, "", visit_instruction(len(rooms)), seed, None, max_steps)


def is_success(house: House, marks: Sequence[Point]) -> bool:
    """Returns whether `done` would be a success after `sub_done` at `marks` (x, y) [m]."""
    return len(rooms_at(house, marks)) == len(house.rooms)
