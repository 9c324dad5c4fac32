"""ObjectNavRelAttribute of CHORESNav: find the one object of a category that is the smallest, the closest to a bed, ...

The template is CHORES' own (FLaRe utils/task_spec_to_instruction.py): "{verb} the {smallest|largest} {obj} in the
{room}" or "{verb} the {obj} {closest to|furthest from} the {reference} in the {room}". How much smaller or closer is
not published; here the volume of the bounding box differs by a fifth, the distance by half a metre. "The room" is
every room of that kind. Success is ObjectNav's, for this one object; a house without two of a category in rooms of a
kind has no episode.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.house import Furniture, House, HouseObject
from simulation.navigation.goals import draw_start_for
from simulation.navigation.rooms import rooms_of
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import attribute_instruction

TASK = "object_nav_rel_attr"
VOLUME_RATIO = 1.2
DISTANCE_GAP_M = 0.5


@dataclass(frozen=True)
class Chosen:
    """An object with an `attribute` unique in its category and rooms of a kind, relative to `reference` if not None."""

    thing: HouseObject
    attribute: str
    reference: str | None
    room: str


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws an episode: an object that is unique in its category, and a start away from it.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: no unique object of this house is reachable and visible.
        HouseGenerationError: the house cannot be generated.
    """
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, rng = cached_house(house_seed), np.random.default_rng([house_seed, seed])
    for chosen in _shuffled(list(choices(house)), rng):
        target, objects = chosen.thing.category, (chosen.thing.name,)
        start = draw_start_for(house_seed, target, rng, eye, objects)
        if start is not None:
            instruction = attribute_instruction(target, chosen.attribute, chosen.reference, chosen.room, rng)
            return EpisodeSpec(TASK, house_seed, start, target, instruction, seed, None, max_steps, objects)
    raise EpisodeGenerationError(house_seed, "no object that is unique in its category is reachable and visible")


def _shuffled(found: Sequence[Chosen], rng: np.random.Generator) -> Iterator[Chosen]:
    """Shuffles by category, size apart from distance: otherwise nearly all would be chairs and what is near them."""
    groups = sorted({(each.thing.category, each.reference is None) for each in found})
    for group in rng.permutation(len(groups)):
        members = [each for each in found if (each.thing.category, each.reference is None) == groups[group]]
        for index in rng.permutation(len(members)):
            yield members[index]


def choices(house: House) -> Iterator[Chosen]:
    """Yields every object of a house with a unique attribute, and the attribute."""
    for kind in sorted({room.kind for room in house.rooms}):
        rooms = rooms_of(house, kind)
        here = [thing for thing in house.objects if thing.room in rooms]
        references = _references(house, rooms)
        for category in sorted({thing.category for thing in here}):
            alike = [thing for thing in here if thing.category == category]
            yield from _by_size(alike, kind)
            for name, reference in references.items():
                yield from _by_distance(alike, name, reference, kind)


def _by_size(alike: Sequence[HouseObject], room: str) -> Iterator[Chosen]:
    ranked = sorted(alike, key=_volume)
    if len(ranked) > 1 and _volume(ranked[1]) >= VOLUME_RATIO * _volume(ranked[0]):
        yield Chosen(ranked[0], "smallest", None, room)
    if len(ranked) > 1 and _volume(ranked[-1]) >= VOLUME_RATIO * _volume(ranked[-2]):
        yield Chosen(ranked[-1], "largest", None, room)


def _by_distance(
    alike: Sequence[HouseObject], name: str, reference: HouseObject | Furniture, room: str
) -> Iterator[Chosen]:
    def away(thing: HouseObject) -> float:
        return math.dist(thing.position_m[:2], reference.position_m[:2])

    ranked = sorted(alike, key=away)
    if len(ranked) > 1 and away(ranked[1]) >= DISTANCE_GAP_M + away(ranked[0]):
        yield Chosen(ranked[0], "closest", name, room)
    if len(ranked) > 1 and away(ranked[-1]) >= DISTANCE_GAP_M + away(ranked[-2]):
        yield Chosen(ranked[-1], "furthest", name, room)


def _references(house: House, rooms: Sequence[int]) -> dict[str, HouseObject | Furniture]:
    """Objects and furniture of which some rooms have exactly one, by name."""
    named: list[tuple[str, HouseObject | Furniture]] = []
    named += [(thing.category, thing) for thing in house.objects if thing.room in rooms]
    named += [(piece.kind, piece) for piece in house.furniture if piece.room in rooms]
    names = [name for name, _ in named]
    return {name: thing for name, thing in named if names.count(name) == 1}


def _volume(thing: HouseObject) -> float:
    return math.prod(thing.size_m)
