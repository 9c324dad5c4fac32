"""Which kinds of room a house has, and which objects each room should hold."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.houses.categories import CATEGORIES, ROOM_KINDS
from simulation.houses.floor_plan import Generator

_ANCHORS = {"bedroom": "bed", "living room": "sofa", "bathroom": "toilet"}
_ANCHOR_PROBABILITY = 0.9
_SECOND_PROBABILITY = 0.25
_EXTRA_CHAIR_PROBABILITY = 0.4


def draw_room_kinds(rng: Generator, count: int) -> list[str]:
    """Kinds for `count` rooms: all different up to four, then more bedrooms, living rooms and bathrooms."""
    kinds = [ROOM_KINDS[k] for k in rng.permutation(len(ROOM_KINDS))][:count]
    extra = [str(kind) for kind in rng.choice(["bedroom", "living room", "bathroom"], size=max(0, count - 4))]
    return kinds + extra


def draw_wanted(rng: Generator, kinds: Sequence[str]) -> list[list[str]]:
    """Categories for each room: what makes it that kind of room, and a share of all others, once or twice in the house.

    A house of one room asks for about two thirds of what it could hold, one of six rooms for nearly everything.
    """
    wanted: list[list[str]] = [[] for _ in kinds]
    for room, kind in enumerate(kinds):
        if kind in _ANCHORS and rng.random() < _ANCHOR_PROBABILITY:
            wanted[room].append(_ANCHORS[kind])
    share = 0.66 + 0.05 * (len(kinds) - 1)
    for name, category in CATEGORIES.items():
        rooms = [room for room, kind in enumerate(kinds) if kind in category.rooms]
        if name in _ANCHORS.values() or not rooms or rng.random() > share:
            continue
        count = min(len(rooms), 1 + int(rng.random() < _SECOND_PROBABILITY))
        for room in rng.permutation(rooms)[:count]:
            wanted[int(room)].append(name)
            if name == "chair" and rng.random() < _EXTRA_CHAIR_PROBABILITY:
                wanted[int(room)].append(name)
    return wanted
