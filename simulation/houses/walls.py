"""The walls of a floor plan: each room's own half of every wall, with gaps for the doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulation.houses.clearance import Obstacle
from simulation.houses.floor_plan import WALL_THICKNESS_M, FloorPlan, Rectangle

_SAME_LINE_M = 1e-6


@dataclass(frozen=True)
class Wall:
    """A straight piece of wall.

    Attributes:
        outline: its rectangle on the floor.
        room: index of the room that it faces.
        axis: 0 when it runs along x, 1 when it runs along y.
    """

    outline: Rectangle
    room: int
    axis: int

    def obstacle(self, name: str, height_m: float) -> Obstacle:
        """The wall as a solid box on the floor."""
        size = self.outline.size
        return Obstacle(name, self.outline.centre, (size[0] / 2, size[1] / 2), 0.0, 0.0, height_m)


def walls_of(plan: FloorPlan) -> tuple[Wall, ...]:
    """Every piece of wall of a floor plan."""
    return tuple(wall for room in range(len(plan.rooms)) for wall in _room_walls(plan, room))


def _room_walls(plan: FloorPlan, index: int) -> Iterator[Wall]:
    room, half = plan.rooms[index], WALL_THICKNESS_M / 2
    for axis, line, inward in (
        (0, room.y_min, half),
        (0, room.y_max, -half),
        (1, room.x_min, half),
        (1, room.x_max, -half),
    ):
        low, high = (room.x_min, room.x_max) if axis == 0 else (room.y_min, room.y_max)
        near, far = sorted((line, line + inward))
        for start, end in _solid_spans(low, high, _gaps(plan, index, axis, line)):
            outline = Rectangle(start, near, end, far)
            yield Wall(outline if axis == 0 else outline.transposed(), index, axis)


def _gaps(plan: FloorPlan, room: int, axis: int, line: float) -> list[tuple[float, float]]:
    gaps = []
    for door in plan.doors:
        along, across = door.position_xy_m[axis], door.position_xy_m[1 - axis]
        if room in door.rooms and door.axis == axis and abs(across - line) < _SAME_LINE_M:
            gaps.append((along - door.width_m / 2, along + door.width_m / 2))
    return sorted(gaps)


def _solid_spans(low: float, high: float, gaps: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for start, end in gaps:
        yield low, start
        low = end
    yield low, high
