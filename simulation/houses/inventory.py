"""Inventory of a house: kinds of its rooms and the objects of each room."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.houses.categories import CATEGORIES, ROOM_KINDS
from simulation.houses.floor_plan import Generator

_ANCHORS = {"bedroom": "bed", "living room": "sofa", "bathroom": "toilet"}
_ANCHOR_PROBABILITY = 0.9
_SECOND_PROBABILITY = 0.25
_EXTRA_CHAIR_PROBABILITY = 0.4


def draw_room_kinds(rng: Generator, count: int) -> list[str]:
    """Draws the kinds of `count` rooms: all different up to four, then more bedrooms, living rooms and bathrooms."""
    kinds = [ROOM_KINDS[k] for k in rng.permutation(len(ROOM_KINDS))][:count]
    extra = [str(kind) for kind in rng.choice(["bedroom", "living room", "bathroom"], size=max(0, count - 4))]
    return kinds + extra


def draw_wanted(rng: Generator, kinds: Sequence[str]) -> list[list[str]]:
    """Draws the categories of each room: those typical of its kind, and some of all others, once or twice per house.

    A house of one room gets about two thirds of the categories that it could hold, one of six rooms nearly all.
    """
    wanted: list[list[str]] = [[] for _ in kinds]
    for room, kind in enumerate(kinds):
        if kind in _ANCHORS and rng.random() < _ANCHOR_PROBABILITY:
            wanted[room].append(_ANCHORS[kind])
    probability = 0.66 + 0.05 * (len(kinds) - 1)
    for name, category in CATEGORIES.items():
        rooms = [room for room, kind in enumerate(kinds) if kind in category.rooms]
        if name in _ANCHORS.values() or not rooms or rng.random() > probability:
            continue
        count = min(len(rooms), 1 + int(rng.random() < _SECOND_PROBABILITY))
        for room in rng.permutation(rooms)[:count]:
            wanted[int(room)].append(name)
            if name == "chair" and rng.random() < _EXTRA_CHAIR_PROBABILITY:
                wanted[int(room)].append(name)
    return wanted
