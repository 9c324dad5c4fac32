"""The 15 object categories of CHORES-S, and the rooms and surfaces of each.

The list and the synsets are FLaRe's utils/constants/object_constants.py. Sizes are our own: the generous end of what
such things measure, since a policy sees them in a small image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simulation.errors import UnknownCategory

SizeRange = tuple[tuple[float, float, float], tuple[float, float, float]]

FLOOR = "floor"
"""The `surface` of objects on the floor."""


@dataclass(frozen=True)
class Category:
    """A category of target objects.

    Attributes:
        name: as in an instruction.
        synset: WordNet synset, by which CHORES names a target.
        thor_name: object type in AI2-THOR.
        rooms: kinds of room it lives in.
        surface: "floor", "table" (any top between 0.3 and 1 m) or "stand" (a low top against a wall).
        size_range_m: smallest and largest full extent, each in depth (x, towards its front), width (y) and height (z).
    """

    name: str
    synset: str
    thor_name: str
    rooms: tuple[str, ...]
    surface: str
    size_range_m: SizeRange

    @property
    def is_on_floor(self) -> bool:
        """True if it is on the floor."""
        return self.surface == FLOOR


_ALL_ROOMS = ("kitchen", "bedroom", "bathroom", "living room")
_DRY_ROOMS = ("kitchen", "bedroom", "living room")

_CATEGORIES = (
    Category("alarm clock", "alarm_clock.n.01", "AlarmClock", ("bedroom", "living room"), "table",
             ((0.08, 0.15, 0.15), (0.10, 0.20, 0.20))),
    Category("apple", "apple.n.01", "Apple", _DRY_ROOMS, "table", ((0.09, 0.09, 0.10), (0.11, 0.11, 0.12))),
    Category("basketball", "basketball.n.02", "BasketBall", ("bedroom", "living room"), FLOOR,
             ((0.24, 0.24, 0.24), (0.25, 0.25, 0.25))),
    Category("bed", "bed.n.01", "Bed", ("bedroom",), FLOOR, ((1.90, 1.00, 0.80), (2.10, 1.60, 1.05))),
    Category("bowl", "bowl.n.03", "Bowl", _DRY_ROOMS, "table", ((0.20, 0.20, 0.09), (0.27, 0.27, 0.13))),
    Category("chair", "straight_chair.n.01", "Chair", _DRY_ROOMS, FLOOR, ((0.42, 0.40, 0.82), (0.50, 0.48, 1.00))),
    Category("garbage can", "ashcan.n.01", "GarbageCan", _ALL_ROOMS, FLOOR,
             ((0.28, 0.28, 0.40), (0.38, 0.38, 0.62))),
    Category("house plant", "houseplant.n.01", "HousePlant", _ALL_ROOMS, FLOOR,
             ((0.40, 0.40, 0.60), (0.60, 0.60, 1.10))),
    Category("laptop", "laptop.n.01", "Laptop", _DRY_ROOMS, "table", ((0.27, 0.34, 0.22), (0.32, 0.40, 0.26))),
    Category("mug", "mug.n.04", "Mug", _DRY_ROOMS, "table", ((0.09, 0.125, 0.10), (0.10, 0.14, 0.13))),
    Category("sofa", "sofa.n.01", "Sofa", ("living room",), FLOOR, ((0.85, 1.50, 0.75), (0.98, 2.20, 0.90))),
    Category("spray bottle", "atomizer.n.01", "SprayBottle", ("kitchen", "bathroom"), "table",
             ((0.11, 0.09, 0.26), (0.13, 0.11, 0.32))),
    Category("television", "television_receiver.n.01", "Television", ("living room", "bedroom", "kitchen"), "stand",
             ((0.20, 0.75, 0.52), (0.26, 1.05, 0.66))),
    Category("toilet", "toilet.n.02", "Toilet", ("bathroom",), FLOOR, ((0.66, 0.38, 0.74), (0.74, 0.44, 0.84))),
    Category("vase", "vase.n.01", "Vase", _ALL_ROOMS, "table", ((0.14, 0.14, 0.30), (0.20, 0.20, 0.44))),
)  # fmt: skip

CATEGORIES: Mapping[str, Category] = MappingProxyType({category.name: category for category in _CATEGORIES})
"""Every category by its name in an instruction."""

ROOM_KINDS = _ALL_ROOMS
"""Every kind of room."""


def category_of(name: str) -> Category:
    """Looks up a category by name.

    Raises:
        UnknownCategory: there is none of that name.
    """
    if name not in CATEGORIES:
        raise UnknownCategory(name, CATEGORIES)
    return CATEGORIES[name]
