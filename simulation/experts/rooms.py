"""Experts for the tasks whose goals are rooms, from the simulator's ground truth."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from simulation.experts.path_follower import PathFollower
from simulation.navigation.costmap import Cell, Field, Point
from simulation.navigation.rooms import cached_room_field, is_inside, rooms_at, rooms_of
from simulation.tasks.room_nav import target_field
from simulation.twins.house_twin import Twin


class RoomNavExpert(PathFollower):
    """Drives to the nearest room of the kind and chooses `done` once clearly inside."""

    def action(self) -> str:
        """Returns the name of the policy action to take now."""
        if self._is_new():
            self.follow(target_field(self.twin.episode.house_seed, self.twin.episode.target))
        house, (x, y, _) = self.twin.house, self.twin.pose
        done = any(is_inside(house.rooms[room], x, y) for room in rooms_of(house, self.twin.episode.target))
        return "done" if done else self.drive()

    def _arrived(self, cell: Cell) -> str:
        del cell
        return "done"


class RoomVisitExpert(PathFollower):
    """Marks each new room with `sub_done` once clearly inside, visits all by the shortest tour, ends with `done`."""

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin)
        self._left: frozenset[int] = frozenset()

    def action(self) -> str:
        """Returns the name of the policy action to take now."""
        if self._is_new():
            self._left = frozenset()
        house, (x, y, _) = self.twin.house, self.twin.pose
        left = frozenset(range(len(house.rooms))) - rooms_at(house, self.twin.marks)
        if not left:
            return "done"
        if any(is_inside(house.rooms[room], x, y) for room in left):
            return "sub_done"
        if left != self._left:
            self._left = left
            self.follow(self._to(self._next(left)))
        return self.drive()

    def _to(self, room: int) -> Field:
        return cached_room_field(self.twin.episode.house_seed, (room,))

    def _next(self, left: frozenset[int]) -> int:
        """Returns the first room of the shortest tour from here through all that are left."""
        here = self.twin.pose[:2]
        middles = {room: _middle(self._to(room)) for room in left}

        def length(tour: tuple[int, ...]) -> float:
            points = (here, *(middles[room] for room in tour[:-1]))
            return math.fsum(self._to(room).cost_at(*point) for point, room in zip(points, tour, strict=True))

        return min(permutations(sorted(left)), key=length)[0]

    def _arrived(self, cell: Cell) -> str:
        del cell
        return "sub_done"


def _middle(field: Field) -> Point:
    """Returns the goal with the largest clearance."""
    best = np.unravel_index(np.argmax(np.where(field.is_goal, field.space.clearance_m, -1.0)), field.is_goal.shape)
    return field.space.point((int(best[0]), int(best[1])))
