"""Furnishing of rooms: furniture by kind of room, then the requested objects on the floor and on the furniture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from simulation.houses.categories import CATEGORIES
from simulation.houses.floor_plan import Door, Generator, Rectangle
from simulation.houses.furniture import FURNITURE
from simulation.houses.objects.part import Vector
from simulation.houses.room_layout import Placed, RoomLayout, Spot, draw_size, outline_of, seat_spots

RECIPES: Mapping[str, Sequence[tuple[str, float]]] = {
    "kitchen": (("counter", 1.0), ("table", 0.8), ("fridge", 0.7), ("shelf", 0.4), ("counter", 0.3)),
    "bedroom": (("dresser", 0.7), ("desk", 0.6), ("nightstand", 0.8), ("wardrobe", 0.5), ("shelf", 0.3)),
    "bathroom": (("vanity", 1.0), ("bathtub", 0.6), ("shelf", 0.6)),
    "living room": (("coffee table", 0.5), ("side table", 0.6), ("shelf", 0.6), ("desk", 0.4), ("dresser", 0.4)),
}
"""Furniture of each kind of room, in the order in which it is placed, with its probability."""

_SEATED_AT = ("table", "desk")
_ISLANDS = ("coffee table", "table")
_STANDS = ("tv stand", "dresser")
_FACING = ("alarm clock", "laptop", "television")
_TO_EDGE_M = 0.02


@dataclass
class Top:
    """The top of a piece of furniture, in the furniture's own frame: x towards its front, origin in its middle."""

    under: Placed
    taken: list[Rectangle] = field(default_factory=list)

    def place(self, kind: str, size_m: Vector, rng: Generator, tries: int = 8) -> Placed | None:
        """Places an object near the front edge at a free spot; None where there is none."""
        depth, width, height = self.under.size_m
        for _ in range(tries):
            turn = float(rng.uniform(-0.25, 0.25)) if kind in _FACING else float(rng.uniform(-np.pi, np.pi))
            needed = outline_of(0.0, 0.0, turn, size_m)
            x_room, y_room = depth / 2 - needed.x_max - _TO_EDGE_M, width / 2 - needed.y_max - _TO_EDGE_M
            if x_room < 0 or y_room < 0:
                continue
            x = x_room - float(rng.uniform(0.0, min(0.15, 2 * x_room)))
            y = float(rng.uniform(-y_room, y_room))
            outline = needed.moved(x, y)
            if all(other.gap(outline) > _TO_EDGE_M for other in self.taken):
                self.taken.append(outline)
                return self._in_world(kind, x, y, height, turn, size_m)
        return None

    def _in_world(self, kind: str, x: float, y: float, z: float, turn: float, size_m: Vector) -> Placed:
        yaw = self.under.yaw_rad
        c, s = float(np.cos(yaw)), float(np.sin(yaw))
        u, v = self.under.position_m[0] + c * x - s * y, self.under.position_m[1] + s * x + c * y
        return Placed(kind, (u, v, z), yaw + turn, size_m, outline_of(u, v, yaw + turn, size_m))


@dataclass(frozen=True)
class RoomContents:
    """Contents of a room: furniture, objects, and the requested categories that could not be placed."""

    furniture: tuple[Placed, ...]
    objects: tuple[Placed, ...]
    missing: tuple[str, ...]


def furnish(rng: Generator, kind: str, inside: Rectangle, doors: Sequence[Door], wanted: Sequence[str]) -> RoomContents:
    """Furnishes a room and places the requested objects in it.

    Args:
        rng: source of chance.
        kind: kind of room, a key of `RECIPES`.
        inside: the floor between its walls.
        doors: its doors.
        wanted: a category's name for each object that the room should have.
    """
    layout = RoomLayout.of(inside, doors)
    objects: list[Placed | None] = []
    large = [name for name in wanted if name in ("bed", "sofa", "toilet")]
    small = [name for name in wanted if not CATEGORIES[name].is_on_floor]
    other = [name for name in wanted if CATEGORIES[name].is_on_floor and name not in large]
    objects += [_against_wall(layout, rng, name, 40) for name in large]
    furniture = _place_furniture(layout, rng, kind, small)
    objects += [_place_on_floor(layout, rng, name, furniture) for name in other]
    objects += _place_on_tops(rng, small, furniture)
    placed = tuple(thing for thing in objects if thing is not None)
    missing = list(wanted)
    for thing in placed:
        missing.remove(thing.kind)
    return RoomContents(tuple(furniture), placed, tuple(missing))


def _against_wall(layout: RoomLayout, rng: Generator, name: str, tries: int = 14) -> Placed | None:
    size = draw_size(rng, CATEGORIES[name].size_range_m)
    return layout.place(name, size, layout.along_walls(rng, size), tries)


def _place_furniture(layout: RoomLayout, rng: Generator, kind: str, small: Sequence[str]) -> list[Placed]:
    names = [name for name, probability in RECIPES[kind] if rng.random() < probability]
    if "television" in small:
        names.insert(0, _STANDS[int(rng.random() < 0.3)])
    if "coffee table" in names and rng.random() < 0.5:
        names.insert(0, names.pop(names.index("coffee table")))
    pieces = []
    for name in names:
        size = draw_size(rng, FURNITURE[name].size_range_m)
        piece = None
        if name in _ISLANDS and (name == "coffee table" or rng.random() < 0.4):
            piece = layout.place(name, size, layout.anywhere(rng, size))
        pieces.append(piece or layout.place(name, size, layout.along_walls(rng, size)))
    return [piece for piece in pieces if piece is not None]


def _place_on_floor(layout: RoomLayout, rng: Generator, name: str, furniture: Sequence[Placed]) -> Placed | None:
    size = draw_size(rng, CATEGORIES[name].size_range_m)
    if name == "chair":
        for table in furniture:
            if table.kind in _SEATED_AT:
                spots: list[Spot] = seat_spots(rng, table, size, table.kind == "table")
                seat = layout.place(name, size, spots, beneath=table)
                if seat is not None:
                    return seat
    if name == "basketball" and rng.random() < 0.5:
        return layout.place(name, size, layout.anywhere(rng, size))
    return layout.place(name, size, layout.along_walls(rng, size), 30)


def _place_on_tops(rng: Generator, small: Sequence[str], furniture: Sequence[Placed]) -> list[Placed | None]:
    tops = [Top(piece) for piece in furniture if FURNITURE[piece.kind].has_top]
    placed: list[Placed | None] = []
    for name in sorted(small, key=lambda name: name != "television"):
        size = draw_size(rng, CATEGORIES[name].size_range_m)
        places = [top for top in tops if top.under.kind in _STANDS] if name == "television" else tops
        order = [places[k] for k in rng.permutation(len(places))]
        placed.append(next((thing for top in order if (thing := top.place(name, size, rng)) is not None), None))
    return placed
