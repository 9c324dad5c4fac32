"""Rooms as goals: cells clearly inside, distance fields to them, and the rooms that a path went through.

A room is its polygon, as in CHORES (FLaRe utils/data_generation_utils/navigation_utils.py,
`get_room_id_from_location`): a robot in a doorway is in one room or the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from simulation.houses.cache import cached_house
from simulation.houses.house import House, Room
from simulation.navigation.costmap import CELL_M, DISC_M, Bools, Field, Floats, FreeSpace
from simulation.navigation.goals import cached_space

INSIDE_M = 0.6
"""Clearly in a room: this far from its outline, which is half a wall's thickness more than from the wall."""

_ROOMY_M = 0.6


def inside(space: FreeSpace, room: Room) -> Bools:
    """Mask (nx, ny) of the cells where the robot fits and, anywhere in the cell, is clearly in a room."""
    depth = _depth_m(room, space.x_m[:, None], space.y_m[None, :])
    cells: Bools = (depth >= INSIDE_M + CELL_M / 2) & (space.clearance_m >= DISC_M)
    return cells


def is_inside(room: Room, x: float, y: float) -> bool:
    """Returns whether a point [m] is clearly in a room."""
    return bool(_depth_m(room, np.array(x), np.array(y)) >= INSIDE_M)


@lru_cache(maxsize=16)
def cached_room_field(seed: int, rooms: tuple[int, ...]) -> Field:
    """Returns the distance field to the nearest of some rooms; the goals are the cells with the most clearance."""
    house, space = cached_house(seed), cached_space(seed)
    goals = np.logical_or.reduce([_roomy(space, inside(space, house.rooms[room])) for room in rooms])
    return space.field(np.where(goals, 0.0, np.inf))


def _roomy(space: FreeSpace, cells: Bools) -> Bools:
    """Selects cells with clearance: a single cell behind a corner would be missed by a step of the base."""
    best = space.clearance_m.max(where=cells, initial=0.0)
    roomy: Bools = cells & (space.clearance_m >= min(best, _ROOMY_M))
    return roomy


def _depth_m(room: Room, x: Floats, y: Floats) -> Floats:
    """Distance of points inside the outline of a room [m]; negative outside."""
    (x_min, y_min), (x_max, y_max) = room.polygon.min(axis=0), room.polygon.max(axis=0)
    depth: Floats = np.minimum(np.minimum(x - x_min, x_max - x), np.minimum(y - y_min, y_max - y))
    return depth


def rooms_of(house: House, kind: str) -> tuple[int, ...]:
    """Indices of the rooms of a kind."""
    return tuple(index for index, room in enumerate(house.rooms) if room.kind == kind)


def rooms_at(house: House, points: Iterable[tuple[float, float]]) -> frozenset[int]:
    """Indices of the rooms in which some points (x, y) [m] lie."""
    return frozenset(room for point in points if (room := house.room_at(*point)) is not None)
