"""RoomNav of CHORESNav: go to a room of some kind.

Success at `done`: the base is in a room of that kind (FLaRe tasks/room_nav_task.py). An episode starts in a room of
another kind, so a house of one room has none.
"""

from __future__ import annotations

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.navigation.costmap import Field
from simulation.navigation.goals import START_CLEARANCE_M, cached_space, draw_start
from simulation.navigation.rooms import cached_room_field, inside, rooms_of
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import goto_instruction
from simulation.twins.world import World

TASK = "room_nav"


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws a RoomNav episode: a kind of room, and a start clearly in a room of another kind. `eye` is not used.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: the house has one kind of room only.
        HouseGenerationError: the house cannot be generated.
    """
    del eye
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, space = cached_house(house_seed), cached_space(house_seed)
    rng = np.random.default_rng([house_seed, seed])
    for kind in rng.permutation(sorted({room.kind for room in house.rooms})):
        field = target_field(house_seed, str(kind))
        joined = np.isin(space.parts, np.unique(space.parts[field.is_goal])) & (space.parts > 0)
        others = [inside(space, room) for room in house.rooms if room.kind != kind]
        roomy = (space.clearance_m >= START_CLEARANCE_M) & joined
        starts = np.argwhere(np.logical_or.reduce(others) & roomy) if others else np.empty((0, 2), np.intp)
        if len(starts):
            start = draw_start(space, starts, rng)
            instruction = goto_instruction(str(kind), rng)
            return EpisodeSpec(TASK, house_seed, start, str(kind), instruction, seed, None, max_steps)
    raise EpisodeGenerationError(house_seed, f"no path to another kind of room among {len(house.rooms)} rooms")


def target_field(house_seed: int, kind: str) -> Field:
    """Returns the distance field to the nearest room of a kind."""
    return cached_room_field(house_seed, rooms_of(cached_house(house_seed), kind))


def is_success(world: World, kind: str) -> bool:
    """Returns whether `done` would be a success now."""
    room = world.house.room_at(*world.base[:2])
    return room is not None and world.house.rooms[room].kind == kind
