"""Being in a room: where a robot is clearly inside, the way there, and which rooms a path went through.

A room is where its polygon is, as in CHORES (FLaRe utils/data_generation_utils/navigation_utils.py,
`get_room_id_from_location`): a robot in a doorway is in one room or the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from simulation.house import House, Room
from simulation.navigation import DISC_M, Bools, Field, FreeSpace
from simulation.object_nav import cached_house, cached_space

INSIDE_M = 0.6
"""Clearly in a room: this far from its outline, which is half a wall's thickness more than from the wall."""


def inside(space: FreeSpace, room: Room) -> Bools:
    """(nx, ny) cells where the robot fits and is clearly in a room."""
    (x_min, y_min), (x_max, y_max) = room.polygon.min(axis=0), room.polygon.max(axis=0)
    x, y = space.x_m[:, None], space.y_m[None, :]
    depth = np.minimum(np.minimum(x - x_min, x_max - x), np.minimum(y - y_min, y_max - y))
    cells: Bools = (depth >= INSIDE_M) & (space.clearance_m >= DISC_M)
    return cells


@lru_cache(maxsize=16)
def cached_room_field(seed: int, rooms: tuple[int, ...]) -> Field:
    """The way to the nearest of some rooms of the house of `seed`; the goals are where one is clearly inside."""
    house, space = cached_house(seed), cached_space(seed)
    goals = np.logical_or.reduce([inside(space, house.rooms[room]) for room in rooms])
    return space.field(np.where(goals, 0.0, np.inf))


def rooms_of(house: House, kind: str) -> tuple[int, ...]:
    """Indices of the rooms of a kind."""
    return tuple(index for index, room in enumerate(house.rooms) if room.kind == kind)


def rooms_at(house: House, points: Iterable[tuple[float, float]]) -> frozenset[int]:
    """Indices of the rooms in which some points (x, y) [m] lie."""
    return frozenset(room for point in points if (room := house.room_at(*point)) is not None)
