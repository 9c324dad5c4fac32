"""Procedural houses: one to six furnished rooms from a seed.

World frame: x and y on the floor, z up, origin in the middle of the house on the floor; yaw counter-clockwise.
A thing's own frame has x towards its front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulation.errors import HouseGenerationError, HouseOptionsError, SeedError
from simulation.houses.categories import CATEGORIES
from simulation.houses.clearance import ClearanceGrid, Obstacle, clearance_grid
from simulation.houses.floor_plan import (
    MAX_ROOMS,
    WALL_THICKNESS_M,
    Door,
    FloorPlan,
    Generator,
    Rectangle,
    bounding_rectangle,
    draw_floor_plan,
)
from simulation.houses.furnishing import RoomContents, furnish
from simulation.houses.inventory import draw_room_kinds, draw_wanted
from simulation.houses.objects.part import Vector
from simulation.houses.room_layout import Placed
from simulation.houses.walls import Wall, walls_of

if TYPE_CHECKING:
    import mujoco

    from simulation.houses.appearance import Appearance

WALL_HEIGHT_M = 2.4
"""Height of the walls. There is no ceiling: the head cameras look down."""

_ATTEMPTS = 25
_REACH_M = 1.1


@dataclass(frozen=True)
class HouseOptions:
    """Options of house generation.

    Attributes:
        rooms_min: fewest rooms.
        rooms_max: most rooms.
        room_weights: how often a house has 1, 2, ... rooms.
        room_side_m: (shortest, longest) side of a room.
        door_width_m: (narrowest, widest) door.
        categories_min: fewest categories that a house may hold.
        robot_radius_m: radius of the disc that must get through every door and near every object; the base of a
            Stretch RE1 turns within 0.30 m.
    """

    rooms_min: int = 1
    rooms_max: int = MAX_ROOMS
    room_weights: tuple[float, ...] = (0.20, 0.25, 0.20, 0.15, 0.10, 0.10)
    room_side_m: tuple[float, float] = (3.4, 5.5)
    door_width_m: tuple[float, float] = (1.1, 1.4)
    categories_min: int = 4
    robot_radius_m: float = 0.33

    def __post_init__(self) -> None:
        if not 1 <= self.rooms_min <= self.rooms_max <= MAX_ROOMS:
            got = f"{self.rooms_min} to {self.rooms_max}"
            raise HouseOptionsError("rooms_min, rooms_max", got, f"1 <= rooms_min <= rooms_max <= {MAX_ROOMS}")
        for name in ("room_side_m", "door_width_m"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise HouseOptionsError(name, (low, high), "0 < shortest <= longest")
        chosen = self.room_weights[self.rooms_min - 1 : self.rooms_max]
        if len(self.room_weights) != MAX_ROOMS or min(self.room_weights) < 0 or sum(chosen) <= 0:
            raise HouseOptionsError(
                "room_weights", self.room_weights, f"{MAX_ROOMS} weights, some positive in the range"
            )
        if not 0 <= self.categories_min <= len(CATEGORIES):
            raise HouseOptionsError("categories_min", self.categories_min, f"0 to {len(CATEGORIES)}")


@dataclass(frozen=True)
class Room:
    """A room: its name, its kind, and its outline along the middle of its walls, (n, 2) counter-clockwise [m]."""

    name: str
    kind: str
    polygon: NDArray[np.float64]


@dataclass(frozen=True)
class HouseObject:
    """An object that can be a target.

    Attributes:
        name: of its MuJoCo body.
        category: a key of `CATEGORIES`.
        position_m: middle of its bounding box, where its body's frame lies.
        yaw_rad: direction of its front.
        size_m: full extents along its own axes.
        room: index of its room.
    """

    name: str
    category: str
    position_m: Vector
    yaw_rad: float
    size_m: Vector
    room: int

    @property
    def is_on_floor(self) -> bool:
        """True if it is on the floor, where a robot can collide with it."""
        return CATEGORIES[self.category].is_on_floor


@dataclass(frozen=True)
class Furniture:
    """A piece of furniture; the attributes are those of `HouseObject`, with a key of `FURNITURE` as its kind."""

    name: str
    kind: str
    position_m: Vector
    yaw_rad: float
    size_m: Vector
    room: int


@dataclass(frozen=True)
class House:
    """A furnished house; `bounds` is its outline (x_min, y_min, x_max, y_max) [m]."""

    seed: int
    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]
    objects: tuple[HouseObject, ...]
    furniture: tuple[Furniture, ...]
    walls: tuple[Wall, ...]
    bounds: tuple[float, float, float, float]

    @cached_property
    def obstacles(self) -> tuple[Obstacle, ...]:
        """Every obstacle: walls, furniture, and objects on the floor."""
        walls = [wall.obstacle(f"wall_{i}", WALL_HEIGHT_M) for i, wall in enumerate(self.walls)]
        on_floor = [_obstacle(thing) for thing in self.objects if thing.is_on_floor]
        return (*walls, *(_obstacle(piece) for piece in self.furniture), *on_floor)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories it holds, sorted."""
        return tuple(sorted({thing.category for thing in self.objects}))

    def objects_of(self, category: str) -> tuple[HouseObject, ...]:
        """Its objects of a category."""
        return tuple(thing for thing in self.objects if thing.category == category)

    def room_at(self, x: float, y: float) -> int | None:
        """Index of the room that a point lies in, or None outside."""
        for i, room in enumerate(self.rooms):
            low, high = room.polygon.min(axis=0), room.polygon.max(axis=0)
            if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
                return i
        return None

    def spec(self, appearance: Appearance | None = None) -> mujoco.MjSpec:
        """Builds its MuJoCo scene; without an appearance, with that of its seed."""
        from simulation.houses.mujoco_scene import house_spec  # generating and planning need no MuJoCo

        return house_spec(self, appearance)


def generate_house(seed: int, options: HouseOptions = HouseOptions()) -> House:
    """Generates the house of a seed; deterministic in seed and options.

    Raises:
        SeedError: the seed is negative.
        HouseGenerationError: no attempt gave a house that a robot can walk through.
    """
    if seed < 0:
        raise SeedError("house seed", seed, "a whole number from 0")
    first = np.random.default_rng([seed, 0])
    numbers = np.arange(options.rooms_min, options.rooms_max + 1)
    weights = np.array(options.room_weights[options.rooms_min - 1 : options.rooms_max])
    count = int(first.choice(numbers, p=weights / weights.sum()))
    missing = ""
    for attempt in range(1, _ATTEMPTS + 1):
        draft = _draw(np.random.default_rng([seed, attempt]), seed, count, options)
        if isinstance(draft, House):
            return draft
        missing = draft
    raise HouseGenerationError(seed, missing, _ATTEMPTS)


def _draw(rng: Generator, seed: int, count: int, options: HouseOptions) -> House | str:
    """Makes one attempt; returns a house, or the name of what could not be placed."""
    plan = draw_floor_plan(rng, count, options.room_side_m, options.door_width_m)
    if plan is None:
        return f"a door to each of {count} rooms"
    kinds = draw_room_kinds(rng, count)
    contents = []
    for i, (kind, wanted) in enumerate(zip(kinds, draw_wanted(rng, kinds))):
        doors = [door for door in plan.doors if i in door.rooms]
        contents.append(furnish(rng, kind, plan.rooms[i].shrunk(WALL_THICKNESS_M / 2), doors, wanted))
    house = _assemble(seed, plan, kinds, contents)
    if len(house.categories) < options.categories_min:
        return f"{options.categories_min} categories of object"
    return _blocked(house, plan, options.robot_radius_m) or house


def _assemble(seed: int, plan: FloorPlan, kinds: Sequence[str], contents: Sequence[RoomContents]) -> House:
    rooms = tuple(Room(f"{kind} {i}", kind, rect.polygon()) for i, (kind, rect) in enumerate(zip(kinds, plan.rooms)))
    names = _Names()
    objects, furniture = [], []
    for room, content in enumerate(contents):
        for thing in content.furniture:
            furniture.append(
                Furniture(names.next(thing.kind), thing.kind, _middle(thing), thing.yaw_rad, thing.size_m, room)
            )
        for thing in content.objects:
            objects.append(
                HouseObject(names.next(thing.kind), thing.kind, _middle(thing), thing.yaw_rad, thing.size_m, room)
            )
    house = bounding_rectangle(list(plan.rooms))
    bounds = (house.x_min, house.y_min, house.x_max, house.y_max)
    return House(seed, rooms, plan.doors, tuple(objects), tuple(furniture), walls_of(plan), bounds)


@dataclass
class _Names:
    """Numbers the things of each kind: "side_table_0", "side_table_1", ..."""

    used: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> str:
        number = self.used.get(kind, 0)
        self.used[kind] = number + 1
        return f"{kind.replace(' ', '_')}_{number}"


def _middle(thing: Placed) -> Vector:
    x, y, z = thing.position_m
    return x, y, z + thing.size_m[2] / 2


def _obstacle(thing: HouseObject | Furniture) -> Obstacle:
    (x, y, z), (depth, width, height) = thing.position_m, thing.size_m
    return Obstacle(thing.name, (x, y), (depth / 2, width / 2), thing.yaw_rad, z - height / 2, z + height / 2)


def _blocked(house: House, plan: FloorPlan, radius_m: float) -> str:
    """Returns what a robot of this radius cannot reach, or ""."""
    grid: ClearanceGrid = clearance_grid(plan.rooms, Rectangle(*house.bounds), house.obstacles, radius_m)
    for door in house.doors:
        if not grid.has(*door.position_xy_m):
            return f"a free passage through the door between rooms {door.rooms[0]} and {door.rooms[1]}"
    for thing in house.objects:
        if grid.nearest_m(_obstacle(thing), _REACH_M) > _REACH_M:
            return f"a robot near {thing.name}"
    return ""
