"""Floor plans: rectangular rooms in one or two rows, and the doors between them.

Everything is in the world frame [m]; a room's polygon runs along the middle of its walls, so that the rooms of a house
touch and every point of it, doorways included, lies in one room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Generator = np.random.Generator

WALL_THICKNESS_M = 0.12
"""Thickness of a wall between two rooms; each room brings half of it, in its own colour."""

_DOOR_TO_CORNER_M = 0.35
_ROWS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1,),), 2: ((2,),), 3: ((3,), (2, 1), (1, 2)), 4: ((2, 2), (3, 1), (1, 3)), 5: ((3, 2), (2, 3)), 6: ((3, 3),)
}  # fmt: skip
_SECOND_DOOR_PROBABILITY = 0.3

MAX_ROOMS = max(_ROWS)
"""Number of rooms of the largest floor plan."""


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned rectangle [m]."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def size(self) -> tuple[float, float]:
        """Extent in x and y [m]."""
        return self.x_max - self.x_min, self.y_max - self.y_min

    @property
    def centre(self) -> tuple[float, float]:
        """Middle (x, y) [m]."""
        return (self.x_min + self.x_max) / 2, (self.y_min + self.y_max) / 2

    def polygon(self) -> NDArray[np.float64]:
        """Corners (4, 2), counter-clockwise."""
        return np.array(
            [[self.x_min, self.y_min], [self.x_max, self.y_min], [self.x_max, self.y_max], [self.x_min, self.y_max]]
        )

    def shrunk(self, margin: float) -> Rectangle:
        """The rectangle with every side moved inwards by `margin` [m] (outwards if negative)."""
        return Rectangle(self.x_min + margin, self.y_min + margin, self.x_max - margin, self.y_max - margin)

    def gap(self, other: Rectangle) -> float:
        """Distance to another rectangle [m]; zero or less when they overlap."""
        dx = max(self.x_min - other.x_max, other.x_min - self.x_max)
        dy = max(self.y_min - other.y_max, other.y_min - self.y_max)
        if dx > 0 and dy > 0:
            return float(np.hypot(dx, dy))
        return max(dx, dy)

    def transposed(self) -> Rectangle:
        """The rectangle with x and y swapped."""
        return Rectangle(self.y_min, self.x_min, self.y_max, self.x_max)

    def moved(self, dx: float, dy: float) -> Rectangle:
        """The rectangle shifted by (dx, dy) [m]."""
        return Rectangle(self.x_min + dx, self.y_min + dy, self.x_max + dx, self.y_max + dy)


@dataclass(frozen=True)
class Door:
    """An opening in the wall between two rooms.

    Attributes:
        position_xy_m: middle of the opening.
        width_m: free width.
        rooms: indices of the rooms that it joins.
        axis: 0 when the wall runs along x, 1 when it runs along y.
    """

    position_xy_m: tuple[float, float]
    width_m: float
    rooms: tuple[int, int]
    axis: int

    def zone(self, depth: float, margin: float = 0.0) -> Rectangle:
        """The rectangle that reaches `depth` [m] from the opening into both rooms, wider by `margin` on both sides."""
        half = [depth, depth]
        half[self.axis] = self.width_m / 2 + margin
        x, y = self.position_xy_m
        return Rectangle(x - half[0], y - half[1], x + half[0], y + half[1])


@dataclass(frozen=True)
class FloorPlan:
    """Rooms as rectangles, and the doors between them."""

    rooms: tuple[Rectangle, ...]
    doors: tuple[Door, ...]


def draw_floor_plan(
    rng: Generator, count: int, side_m: tuple[float, float], door_m: tuple[float, float]
) -> FloorPlan | None:
    """Draws a plan of `count` rooms in a house centred on the origin, or None where some room got no door.

    Args:
        rng: source of chance.
        count: number of rooms, 1 to MAX_ROOMS.
        side_m: (shortest, longest) side of a room.
        door_m: (narrowest, widest) door.
    """
    rooms = _centred(_draw_rooms(rng, count, side_m))
    if rng.random() < 0.5:
        rooms = [room.transposed() for room in rooms]
    doors = _draw_doors(rng, rooms, door_m)
    return None if doors is None else FloorPlan(tuple(rooms), tuple(doors))


def _draw_rooms(rng: Generator, count: int, side_m: tuple[float, float]) -> list[Rectangle]:
    rows = _ROWS[count][rng.integers(len(_ROWS[count]))]
    depths = rng.uniform(*side_m, size=len(rows))
    widths = [rng.uniform(*side_m, size=columns) for columns in rows]
    spare = [max(float(w.sum()) for w in widths) - float(w.sum()) for w in widths]
    rooms = []
    y = 0.0
    for depth, row, slack in zip(depths, widths, spare):
        x = slack * float(rng.choice([0.0, 0.5, 1.0]))
        for width in row:
            rooms.append(Rectangle(x, y, x + float(width), y + float(depth)))
            x += float(width)
        y += float(depth)
    return rooms


def _centred(rooms: list[Rectangle]) -> list[Rectangle]:
    house = bounding_rectangle(rooms)
    x, y = house.centre
    return [room.moved(-x, -y) for room in rooms]


def bounding_rectangle(rooms: list[Rectangle]) -> Rectangle:
    """The smallest rectangle around all of them."""
    return Rectangle(
        min(r.x_min for r in rooms),
        min(r.y_min for r in rooms),
        max(r.x_max for r in rooms),
        max(r.y_max for r in rooms),
    )


def shared_wall(a: Rectangle, b: Rectangle) -> tuple[int, float, float, float] | None:
    """Common wall of two rooms: (axis it runs along, its place on the other axis, from, to) [m], or None."""
    low_x, high_x = max(a.x_min, b.x_min), min(a.x_max, b.x_max)
    low_y, high_y = max(a.y_min, b.y_min), min(a.y_max, b.y_max)
    if abs(high_x - low_x) < 1e-6 and high_y > low_y:
        return 1, low_x, low_y, high_y
    if abs(high_y - low_y) < 1e-6 and high_x > low_x:
        return 0, low_y, low_x, high_x
    return None


def _possible_doors(rng: Generator, rooms: list[Rectangle], door_m: tuple[float, float]) -> Iterator[Door]:
    for i, j in combinations(range(len(rooms)), 2):
        wall = shared_wall(rooms[i], rooms[j])
        width = float(rng.uniform(*door_m))
        if wall is None or wall[3] - wall[2] < width + 2 * _DOOR_TO_CORNER_M:
            continue
        axis, across, low, high = wall
        margin = width / 2 + _DOOR_TO_CORNER_M
        along = float(rng.uniform(low + margin, high - margin))
        yield Door((along, across) if axis == 0 else (across, along), width, (i, j), axis)


def _draw_doors(rng: Generator, rooms: list[Rectangle], door_m: tuple[float, float]) -> list[Door] | None:
    """Draws a door for each edge of a random spanning tree of the rooms, and a few more that close a cycle."""
    possible = list(_possible_doors(rng, rooms, door_m))
    group = list(range(len(rooms)))
    doors = []
    for k in rng.permutation(len(possible)):
        a, b = (group[room] for room in possible[k].rooms)
        if a != b:
            group = [a if g == b else g for g in group]
        elif rng.random() > _SECOND_DOOR_PROBABILITY:
            continue
        doors.append(possible[k])
    return doors if len(set(group)) == 1 else None
