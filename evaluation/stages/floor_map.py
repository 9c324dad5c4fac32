"""A floor plan as data: rooms and boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simulation.houses.house import House

Point = tuple[float, float]
BoxKind = Literal["wall", "furniture", "object", "target"]


@dataclass(frozen=True)
class Room:
    """A room's name and its corners (x, y) [m], counter-clockwise."""

    name: str
    corners: tuple[Point, ...]


@dataclass(frozen=True)
class Box:
    """A box on the floor: centre, half extents along its own axes [m], and yaw."""

    kind: BoxKind
    name: str
    x_m: float
    y_m: float
    half_x_m: float
    half_y_m: float
    yaw_rad: float

    @property
    def corners(self) -> tuple[Point, ...]:
        """Its four corners (x, y) [m], counter-clockwise."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        local = ((1, 1), (-1, 1), (-1, -1), (1, -1))
        offsets = ((a * self.half_x_m, b * self.half_y_m) for a, b in local)
        return tuple((self.x_m + c * x - s * y, self.y_m + s * x + c * y) for x, y in offsets)


@dataclass(frozen=True)
class FloorMap:
    """A floor; `bounds` is its outline (x_min, y_min, x_max, y_max) [m]."""

    bounds: tuple[float, float, float, float]
    rooms: tuple[Room, ...] = ()
    boxes: tuple[Box, ...] = ()

    @classmethod
    def around(cls, path: Sequence[Point], margin_m: float = 0.5) -> FloorMap:
        """Returns an empty floor around a path, for a home without a map."""
        xs, ys = zip(*path) if path else ((0.0,), (0.0,))
        return cls((min(xs) - margin_m, min(ys) - margin_m, max(xs) + margin_m, max(ys) + margin_m))

    @classmethod
    def of_house(cls, house: House, target: str, objects: Sequence[str] = ()) -> FloorMap:
        """Returns the floor of a simulated house; marks `objects`, or else instances of `target`. Rounded to 1 cm."""
        walls = [wall for wall in house.obstacles if wall.name.startswith("wall_")]
        boxes = [_box("wall", wall.name, wall.centre_xy_m, wall.half_xy_m, wall.yaw_rad) for wall in walls]
        boxes += [_box("furniture", t.name, t.position_m, _half(t.size_m), t.yaw_rad) for t in house.furniture]
        for t in house.objects:
            marked = t.name in objects if objects else t.category == target
            boxes.append(_box("target" if marked else "object", t.name, t.position_m, _half(t.size_m), t.yaw_rad))
        rooms = tuple(Room(room.name, tuple(_cm(corner) for corner in room.polygon.tolist())) for room in house.rooms)
        x_min, y_min, x_max, y_max = (round(float(value), 2) for value in house.bounds)
        return cls((x_min, y_min, x_max, y_max), rooms, tuple(boxes))


def _half(size_m: Sequence[float]) -> Point:
    return size_m[0] / 2, size_m[1] / 2


def _cm(point: Sequence[float]) -> Point:
    return round(float(point[0]), 2), round(float(point[1]), 2)


def _box(kind: BoxKind, name: str, centre: Sequence[float], half: Sequence[float], yaw_rad: float) -> Box:
    return Box(kind, name, *_cm(centre), *_cm(half), round(float(yaw_rad), 3))
