"""Layout of a room: places things so that the passages between them stay open.

Everything is square to the walls (chairs and round things may turn). Two things either nearly touch or leave a passage
between them, so that no gap can trap a robot and the floor of a room stays connected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from simulation.houses.categories import SizeRange
from simulation.houses.floor_plan import Door, Generator, Rectangle
from simulation.houses.objects.part import Vector

Spot = tuple[float, float, float]
"""Candidate placement: x, y [m] and yaw [rad]."""

PASSAGE_M = 0.78
"""Narrowest passage between two things: a Stretch turns on the spot within a circle of 0.6 m diameter."""

_TOUCH_M = 0.12
_DOOR_DEPTH_M = 0.85
_TO_WALL_M = 0.02
_MOST_SPOTS = 100
_SIDES = ((0.0, 0), (np.pi / 2, 1), (np.pi, 0), (-np.pi / 2, 1))
"""(yaw of a thing with its back to the wall, axis of its depth) for the west, south, east and north wall."""


@dataclass(frozen=True)
class Placed:
    """Something at a place: `kind`, middle of its bottom [m], yaw [rad], full extents [m] and its outline."""

    kind: str
    position_m: Vector
    yaw_rad: float
    size_m: Vector
    outline: Rectangle


def draw_size(rng: Generator, size_range_m: SizeRange) -> Vector:
    """Draws full extents [m]; a thing with the same range in depth and width is round, or square."""
    smallest, largest = np.asarray(size_range_m[0]), np.asarray(size_range_m[1])
    depth, width, height = (float(v) for v in rng.uniform(smallest, largest))
    is_round = smallest[0] == smallest[1] and largest[0] == largest[1]
    return depth, depth if is_round else width, height


def outline_of(x: float, y: float, yaw_rad: float, size_m: Sequence[float]) -> Rectangle:
    """The axis-aligned rectangle around a turned box."""
    c, s = abs(np.cos(yaw_rad)), abs(np.sin(yaw_rad))
    half_x, half_y = (c * size_m[0] + s * size_m[1]) / 2, (s * size_m[0] + c * size_m[1]) / 2
    return Rectangle(float(x - half_x), float(y - half_y), float(x + half_x), float(y + half_y))


@dataclass
class RoomLayout:
    """A room being furnished.

    Attributes:
        inside: the floor between its walls.
        keep_free: places in front of its doors.
        placed: things on its floor so far.
    """

    inside: Rectangle
    keep_free: list[Rectangle]
    placed: list[Placed] = field(default_factory=list)

    @classmethod
    def of(cls, inside: Rectangle, doors: Sequence[Door]) -> RoomLayout:
        """An empty room with these doors."""
        return cls(inside, [door.zone(_DOOR_DEPTH_M, 0.05) for door in doors])

    def fits(self, outline: Rectangle, beneath: Placed | None = None) -> bool:
        """Returns whether an outline, possibly `beneath` a thing, leaves doors free and passages wide enough."""
        room = self.inside
        to_walls = (
            *(outline.x_min - room.x_min, outline.y_min - room.y_min),
            *(room.x_max - outline.x_max, room.y_max - outline.y_max),
        )
        if any(not _is_fair_gap(gap) for gap in to_walls) or any(zone.gap(outline) <= 0 for zone in self.keep_free):
            return False
        return all(other is beneath or _is_fair_gap(other.outline.gap(outline)) for other in self.placed)

    def place(
        self, kind: str, size_m: Vector, spots: Iterable[Spot], tries: int = 14, beneath: Placed | None = None
    ) -> Placed | None:
        """Places something at the first spot where it fits; None where it fits nowhere."""
        for _, (x, y, yaw) in zip(range(tries), spots):
            outline = outline_of(x, y, yaw, size_m)
            if self.fits(outline, beneath):
                return self.add(Placed(kind, (float(x), float(y), 0.0), float(yaw), size_m, outline))
        return None

    def add(self, thing: Placed) -> Placed:
        """Places something on the floor without checking that it fits."""
        self.placed.append(thing)
        return thing

    def along_walls(self, rng: Generator, size_m: Sequence[float]) -> Iterator[Spot]:
        """Yields spots with the back to a wall: in a corner, beside another thing, or anywhere."""
        depth, width = size_m[0], size_m[1]
        for _ in range(_MOST_SPOTS):
            side = int(rng.integers(4))
            yaw, axis = _SIDES[side]
            low, high = self._span(1 - axis, width)
            if low > high:
                continue
            across = depth / 2 + _TO_WALL_M
            along = self._draw_along(rng, 1 - axis, (low, high), width)
            room = self.inside
            edge = (room.x_min + across, room.y_min + across, room.x_max - across, room.y_max - across)[side]
            yield (edge, along, yaw) if axis == 0 else (along, edge, yaw)

    def anywhere(self, rng: Generator, size_m: Sequence[float]) -> Iterator[Spot]:
        """Spots on the open floor, square to the walls."""
        reach = max(size_m[0], size_m[1]) / 2 + PASSAGE_M
        room = self.inside.shrunk(reach)
        for _ in range(_MOST_SPOTS if room.x_min < room.x_max and room.y_min < room.y_max else 0):
            yaw = float(rng.integers(4)) * np.pi / 2
            yield float(rng.uniform(room.x_min, room.x_max)), float(rng.uniform(room.y_min, room.y_max)), yaw

    def _span(self, axis: int, width: float) -> tuple[float, float]:
        room = self.inside
        low, high = (room.x_min, room.x_max) if axis == 0 else (room.y_min, room.y_max)
        return low + width / 2 + _TO_WALL_M, high - width / 2 - _TO_WALL_M

    def _draw_along(self, rng: Generator, axis: int, span: tuple[float, float], width: float) -> float:
        chance = rng.random()
        if chance < 0.35:
            return span[int(rng.integers(2))]
        if chance < 0.6 and self.placed:
            other = self.placed[int(rng.integers(len(self.placed)))].outline
            low, high = (other.x_min, other.x_max) if axis == 0 else (other.y_min, other.y_max)
            beside = high + width / 2 + 0.04 if rng.random() < 0.5 else low - width / 2 - 0.04
            return float(np.clip(beside, *span))
        return float(rng.uniform(*span))


def _is_fair_gap(gap: float) -> bool:
    return -1e-6 <= gap <= _TOUCH_M or gap >= PASSAGE_M


def seat_spots(rng: Generator, table: Placed, size_m: Sequence[float], all_sides: bool) -> list[Spot]:
    """Spots for a chair that faces a table, pushed a little under it: in front, or on all its sides."""
    turns = rng.permutation(4) if all_sides else [0]
    spots = []
    for turn in turns:
        angle = table.yaw_rad + float(turn) * np.pi / 2
        reach = table.size_m[int(turn) % 2] / 2 + size_m[0] / 2 - float(rng.uniform(0.02, 0.2))
        slide = (table.size_m[1 - int(turn) % 2] / 2 - size_m[1] / 2) * float(rng.uniform(-0.7, 0.7))
        c, s = np.cos(angle), np.sin(angle)
        x, y = table.position_m[0] + reach * c - slide * s, table.position_m[1] + reach * s + slide * c
        spots.append((float(x), float(y), float(angle + np.pi + rng.uniform(-0.2, 0.2))))
    return spots
