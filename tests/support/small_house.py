"""A house whose every measure is known: one room of 6 x 5 m, a table with a mug on it, a wardrobe and a basketball."""

from __future__ import annotations

from simulation.houses.floor_plan import WALL_THICKNESS_M, FloorPlan, Rectangle
from simulation.houses.house import Furniture, House, HouseObject, Room
from simulation.houses.walls import walls_of

OUTLINE = Rectangle(-3.0, -2.5, 3.0, 2.5)
TABLE = Furniture("table_0", "table", (2.0, 0.0, 0.37), 3.14159, (0.8, 1.2, 0.74), 0)
WARDROBE = Furniture("wardrobe_0", "wardrobe", (-1.0, -1.8, 0.9), 1.5708, (0.6, 1.0, 1.8), 0)
MUG = HouseObject("mug_0", "mug", (1.7, 0.0, 0.80), 0.0, (0.10, 0.13, 0.12), 0)
BASKETBALL = HouseObject("basketball_0", "basketball", (-2.5, -2.0, 0.125), 0.0, (0.25, 0.25, 0.25), 0)
INSIDE_M = WALL_THICKNESS_M / 2


def small_house(objects: tuple[HouseObject, ...] = (MUG, BASKETBALL)) -> House:
    """The house; its walls' inner faces are `INSIDE_M` inside of `OUTLINE`."""
    return House(
        seed=0,
        rooms=(Room("kitchen 0", "kitchen", OUTLINE.polygon()),),
        doors=(),
        objects=objects,
        furniture=(TABLE, WARDROBE),
        walls=walls_of(FloorPlan((OUTLINE,), ())),
        bounds=(OUTLINE.x_min, OUTLINE.y_min, OUTLINE.x_max, OUTLINE.y_max),
    )
