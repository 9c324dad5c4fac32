"""Floors and paths as SVG, styled by the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evaluation.stages.floor_map import Box, FloorMap, Point

SCALE = 100.0  # SVG units per metre
ORDER = ("furniture", "object", "target", "wall")


def view_box(floor: FloorMap) -> str:
    """Returns the viewBox of an SVG of the whole floor; y points up in the world and down in SVG."""
    x_min, y_min, x_max, y_max = floor.bounds
    numbers = (x_min - 0.1, -y_max - 0.1, x_max - x_min + 0.2, y_max - y_min + 0.2)
    return " ".join(f"{SCALE * number:.0f}" for number in numbers)


def floor_svg(floor: FloorMap) -> str:
    """Returns rooms and boxes as elements with the classes room, wall, furniture, object and target."""
    rooms = "".join(f'<polygon class="room" points="{_points(room.corners)}"/>' for room in floor.rooms)
    boxes = sorted(floor.boxes, key=lambda box: ORDER.index(box.kind))
    return rooms + "".join(_box(box) for box in boxes)


def path_svg(path: Sequence[Point], outcome: str) -> str:
    """Returns the path driven: a line, a ring at its start, a dot at its end."""
    if not path:
        return ""
    (x0, y0), (x1, y1) = _at(path[0]), _at(path[-1])
    line = f'<polyline class="path" points="{_points(path)}"/><circle class="start" cx="{x0}" cy="{y0}" r="16"/>'
    return f'{line}<circle class="end {escape(outcome)}" cx="{x1}" cy="{y1}" r="20"/>'


def _box(box: Box) -> str:
    label = escape(box.name.rpartition("_")[0].replace("_", " ") or box.name)
    title = "" if box.kind == "wall" else f"<title>{label}</title>"
    return f'<polygon class="{box.kind}" points="{_points(box.corners)}">{title}</polygon>'


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x},{y}" for x, y in map(_at, points))


def _at(point: Point) -> tuple[int, int]:
    return round(SCALE * point[0]), round(-SCALE * point[1])
