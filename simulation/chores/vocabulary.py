"""CHORES' names of tasks, objects and rooms, and the fields of each kind of task.

Field names: FLaRe utils/type_utils.py (`REGISTERED_TASK_PARAMS`); synsets: simulation/houses/categories.py; hypernyms:
the CHORES-S validation episodes (PKU-Alignment/SafeVLA benchmark/*_val.jsonl.gz).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from simulation.episode import EpisodeSpec
from simulation.errors import ChoresError
from simulation.houses.categories import CATEGORIES, ROOM_KINDS, category_of
from simulation.houses.house import House
from simulation.navigation.goals import named_targets, targets_of
from simulation.navigation.rooms import rooms_of
from simulation.tasks import object_nav, object_nav_afford, object_nav_rel_attr, room_nav, room_visit
from simulation.tasks.instructions import BEST_FOR

Record = Mapping[str, Any]

TASK_TYPES: Mapping[str, str] = MappingProxyType(
    {
        object_nav.TASK: "ObjectNavType",
        "pick_up": "PickupType",
        "fetch": "FetchType",
        room_visit.TASK: "RoomVisit",
        room_nav.TASK: "RoomNav",
        object_nav_rel_attr.TASK: "ObjectNavRelAttribute",
        object_nav_afford.TASK: "ObjectNavAffordance",
    }
)
"""CHORES' name of each of our tasks."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "SimpleExploreHouse": "RoomVisit",
        "EasyObjectNavType": "ObjectNavType",
        "HardObjectNavType": "ObjectNavType",
        "EasyFetchType": "FetchType",
    }
)
"""Other names of the same (FLaRe utils/task_type_mapping_utils.py, online_evaluation_types_and_utils.py)."""

HYPERNYMS: Mapping[str, str] = MappingProxyType(
    {
        "container": "container.n.01",
        "equipment": "equipment.n.01",
        "fixture": "fixture.n.01",
        "fruit": "fruit.n.01",
        "furnishing": "furnishing.n.02",
        "instrument": "instrument.n.01",
        "machine": "machine.n.01",
        "plant": "plant.n.02",
    }
)
"""Synset of the noun for an object with an affordance."""

_BY_SIZE = re.compile(r" the (?P<attribute>smallest|largest) .+ in the (?P<room>.+)$")
_BY_DISTANCE = re.compile(
    r" the .+? (?P<attribute>closest to|furthest from) the (?P<reference>.+) in the (?P<room>.+)$"
)


def task_of(task_type: str) -> str | None:
    """Returns Ferry's name of a task, None where there is none."""
    known = ALIASES.get(task_type, task_type)
    return next((name for name, theirs in TASK_TYPES.items() if theirs == known), None)


def target_and_objects(task: str, record: Record, house: House) -> tuple[str, tuple[str, ...]]:
    """Reads a record's target as `EpisodeSpec.target` and `objects`; ChoresError where the house lacks it."""
    if task == room_visit.TASK:
        _check_number(record, house)
        return "", ()
    if task == room_nav.TASK:
        return _room_kind(record, house), ()
    synset = _first(record, "synsets")
    ids = _ids(record, synset)
    if task == object_nav_afford.TASK:
        called = {theirs: ours for ours, theirs in HYPERNYMS.items()}
        if synset not in called:
            raise ChoresError("synsets[0]", synset, "the noun of an affordance", sorted(called))
        return called[synset], _known(ids, house)
    category = _category(synset, house)
    if task == object_nav_rel_attr.TASK:
        return category, _known(ids, house)
    objects = _known(ids, house) if ids else ()
    return category, () if objects == tuple(thing.name for thing in house.objects_of(category)) else objects


def task_fields(episode: EpisodeSpec, house: House) -> dict[str, Any]:
    """Makes the fields of an episode's record that are specific to its kind of task."""
    if episode.task == room_visit.TASK:
        return {"num_rooms_in_house": len(house.rooms)}
    if episode.task == room_nav.TASK:
        ids = [house.rooms[room].name for room in rooms_of(house, episode.target)]
        return {"room_types": [episode.target], "room_ids": {episode.target: ids}}
    names = [thing.name for thing in targets_of(house, episode)]
    hypernym = HYPERNYMS[object_nav_afford.CALLED.get(episode.target, episode.target)]
    synset = hypernym if episode.task == object_nav_afford.TASK else category_of(episode.target).synset
    fields: dict[str, Any] = {"synsets": [synset], "synset_to_object_ids": {synset: names}}
    fields |= {"broad_synset_to_object_ids": {synset: names}, "hypernyms": [hypernym]}
    more = _MORE.get(episode.task)
    return fields | more(episode, house) if more else fields


def _affordance(episode: EpisodeSpec, house: House) -> dict[str, Any]:
    del house
    _, found, affordance = episode.instruction.partition(BEST_FOR)
    if not found:
        raise ChoresError("instruction", episode.instruction, f"one with '...{BEST_FOR}...'")
    return {"affordance": affordance}


def _attribute(episode: EpisodeSpec, house: House) -> dict[str, Any]:
    found = _BY_SIZE.search(episode.instruction) or _BY_DISTANCE.search(episode.instruction)
    if found is None:
        raise ChoresError("instruction", episode.instruction, "one with the object's unique attribute")
    rooms = rooms_of(house, found["room"])
    alike = [thing.name for thing in named_targets(house, episode.target) if thing.room in rooms]
    attribute: str | list[str] = found["attribute"]
    if found.re is _BY_DISTANCE:
        attribute = [found["attribute"].split()[0], found["reference"]]
    visits = {category_of(episode.target).synset: alike}
    return {"rel_attribute": attribute, "room_type": found["room"], "visit_ids": visits}


_MORE: Mapping[str, Callable[[EpisodeSpec, House], dict[str, Any]]] = {
    object_nav_afford.TASK: _affordance,
    object_nav_rel_attr.TASK: _attribute,
}


def _first(record: Record, name: str) -> str:
    values = record.get(name)
    if not isinstance(values, list) or not values:
        raise ChoresError(name, values, "a list with one name")
    return str(values[0])


def _ids(record: Record, synset: str) -> tuple[str, ...]:
    """Names of the objects that count as target; none where it is the whole category."""
    ids = record.get("broad_synset_to_object_ids", {})
    if not isinstance(ids, dict) or not isinstance(ids.get(synset, []), list):
        raise ChoresError("broad_synset_to_object_ids", ids, f"a list of names for {synset}")
    return tuple(str(name) for name in ids.get(synset, ()))


def _category(synset: str, house: House) -> str:
    category = next((known.name for known in CATEGORIES.values() if known.synset == synset), None)
    if category is None:
        raise ChoresError("synsets[0]", synset, "a category", sorted(known.synset for known in CATEGORIES.values()))
    if category not in house.categories:
        raise ChoresError("synsets[0]", synset, f"a category of house {house.seed}", house.categories)
    return category


def _known(ids: tuple[str, ...], house: House) -> tuple[str, ...]:
    names = [thing.name for thing in house.objects]
    known = tuple(name for name in names if name in ids)
    if not known or len(known) < len(set(ids)):
        raise ChoresError("broad_synset_to_object_ids", ids, f"objects of house {house.seed}", names)
    return known


def _room_kind(record: Record, house: House) -> str:
    name = _first(record, "room_types")
    plain = re.sub(r"[ _]", "", name).lower()  # ProcTHOR has LivingRoom
    kind = next((kind for kind in ROOM_KINDS if kind.replace(" ", "") == plain), name)
    if not rooms_of(house, kind):
        kinds = sorted({room.kind for room in house.rooms})
        raise ChoresError("room_types[0]", name, f"a kind of room of house {house.seed}", kinds)
    return kind


def _check_number(record: Record, house: House) -> None:
    number = record.get("num_rooms_in_house", len(house.rooms))
    if number != len(house.rooms):
        raise ChoresError("num_rooms_in_house", number, f"{len(house.rooms)}, as house {house.seed} has")
