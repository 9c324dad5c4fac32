"""Episodes in the form of CHORES."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulation.chores.episode_file import (
    read_episodes,
    read_records,
    to_episode,
    to_record,
    write_episodes,
    write_records,
)
from simulation.chores.vocabulary import TASK_TYPES
from simulation.episode import EpisodeSpec
from simulation.errors import ChoresError, EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.task_registry import TASKS

PUBLISHED = {
    "task_type": "FetchType",
    "house_index": 692,
    "agent_starting_position": [4.949999809265137, 0.9009921550750732, 22.0],
    "agent_y_rotation": 270.0,
    "expert_length_bucket": "medium",
    "expert_length": 91,
    "synsets": ["basketball.n.02"],
    "synset_to_object_ids": {"basketball.n.02": ["ObjaBasketball|7|73"]},
    "broad_synset_to_object_ids": {"basketball.n.02": ["ObjaBasketball|7|73"]},
    "extras": {"chosen_object_id": "ObjaBasketball|7|73"},
    "natural_language_spec": "go to a basketball and grasp that basketball",
    "task_path": "benchmark/FetchType/val/000692/raw_navigation_camera__0.mp4",
    "hypernyms": ["equipment.n.01"],
}
"""A line as published: PKU-Alignment/SafeVLA benchmark/fetchtype_val.jsonl.gz."""


def drawn(task: str, split: str = "val", first: int = 0) -> EpisodeSpec:
    for index in range(first, first + 30):
        with suppress(EpisodeGenerationError):
            return TASKS[task].sample(house_seed(split, index), index, max_steps=TASKS[task].max_steps)
    raise AssertionError(task)


@pytest.fixture(scope="module")
def episodes() -> tuple[EpisodeSpec, ...]:
    """One of each task, in houses of every split, with and without the expert's length."""
    some = [drawn(task, split) for task, split in zip(TASKS, ("val", "test", "train") * 3, strict=False)]
    odd = replace(some[0], start=(*some[0].start[:2], -0.1234567890123), max_steps=77, expert_steps=160)
    return (*some, odd)


@pytest.mark.parametrize("name", ["plan.jsonl", "plan.jsonl.gz"])
def test_a_round_trip_is_exact(tmp_path: Path, episodes: tuple[EpisodeSpec, ...], name: str) -> None:
    path = tmp_path / name
    write_episodes(path, episodes)
    assert read_episodes(path) == episodes
    first = path.read_bytes()
    write_records(path, read_records(path))
    assert path.read_bytes() == first


def test_the_fields_are_those_of_chores(episodes: tuple[EpisodeSpec, ...]) -> None:
    for episode in episodes:
        record = to_record(episode)
        assert record["task_type"] == TASK_TYPES[episode.task]
        if episode.task in ("object_nav", "pick_up", "fetch"):
            assert set(record) == set(PUBLISHED)
            assert {name: type(value) for name, value in record.items() if "expert" not in name} == {
                name: type(value) for name, value in PUBLISHED.items() if "expert" not in name
            }


def test_what_belongs_to_a_kind_of_task() -> None:
    room_nav, visit, attribute, afford = (
        to_record(drawn(task)) for task in ("room_nav", "room_visit", "object_nav_rel_attr", "object_nav_afford")
    )
    assert visit["num_rooms_in_house"] == len(cached_house(house_seed("val", 0)).rooms)
    (kind,) = room_nav["room_types"]
    assert all(name.startswith(kind) for name in room_nav["room_ids"][kind])
    assert set(afford["synsets"]) <= {*afford["hypernyms"]}
    assert afford["natural_language_spec"].endswith(afford["affordance"])
    (synset,) = attribute["synsets"]
    (chosen,) = attribute["broad_synset_to_object_ids"][synset]
    assert chosen in attribute["visit_ids"][synset]
    assert len(attribute["visit_ids"][synset]) > 1
    assert attribute["room_type"] in attribute["natural_language_spec"]
    if isinstance(attribute["rel_attribute"], list):
        how, reference = attribute["rel_attribute"]
        assert f"{how} {'to' if how == 'closest' else 'from'} the {reference}" in attribute["natural_language_spec"]


def test_unity_looks_along_z_and_turns_clockwise() -> None:
    episode = replace(drawn("object_nav"), start=(0.5, -0.25, math.pi / 2))
    record = to_record(episode)
    assert record["agent_starting_position"] == [0.25, 0.9009921550750732, 0.5]
    assert record["agent_y_rotation"] == 270.0  # +y, to the left, is -x of Unity


def test_the_bucket_is_that_of_the_published_lengths() -> None:
    episode = drawn("object_nav")
    lengths = {49: "short", 50: "medium", 149: "medium", 150: "long", None: None}
    assert {steps: to_record(episode.with_expert_steps(steps))["expert_length_bucket"] for steps in lengths} == lengths


def test_only_what_it_needs_must_be_there() -> None:
    """A plan written by hand: no ids, no length, ProcTHOR's way to write a room, the data set's name of RoomVisit."""
    known = to_record(drawn("object_nav"))
    plain = {name: known[name] for name in list(known)[:4]} | {"synsets": known["synsets"]}
    episode = to_episode({**plain, "natural_language_spec": "find it", "task_type": "EasyObjectNavType"}, "val")
    assert (episode.task, episode.seed, episode.expert_steps, episode.max_steps) == ("object_nav", 0, None, 600)
    assert episode.objects == ()
    room = to_record(drawn("room_nav"))
    kind = room["room_types"][0].title().replace(" ", "")
    assert to_episode({**room, "room_types": [kind]}).target == room["room_types"][0]
    assert to_episode({**to_record(drawn("room_visit")), "task_type": "SimpleExploreHouse"}).max_steps == 1000


def test_some_of_a_category_may_be_meant() -> None:
    record = to_record(drawn("object_nav_rel_attr"))
    episode = to_episode({**record, "task_type": "ObjectNavType"})
    assert episode.objects == tuple(record["broad_synset_to_object_ids"][record["synsets"][0]])


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: {**r, "task_type": "ObjectNavMulti"},
            "task_type: got 'ObjectNavMulti', expected a task; avai.*Room",
        ),
        (lambda r: {**r, "house_index": 1_000_000}, "house_index: got 1000000, expected a val house, 0 to 999999"),
        (lambda r: {**r, "house_index": "4"}, "house_index: got '4', expected a val house"),
        (
            lambda r: {**r, "synsets": ["sword.n.01"]},
            r"synsets\[0\]: got 'sword.n.01', expected a category; .*vase.n.01",
        ),
        (lambda r: {**r, "synsets": []}, r"synsets: got \[\], expected a list with one name"),
        (lambda r: {**r, "agent_starting_position": [99, 1, 0]}, r"expected free floor in house \d+ \(x -\d"),
        (lambda r: {**r, "agent_starting_position": [1, 2]}, "expected three metres, and degrees"),
        (lambda r: {**r, "extras": {"seed": "x"}}, "seed: got 'x', expected a whole number, or none"),
        (lambda r: {**r, "extras": [1]}, r"extras: got \[1\], expected an object"),
        (lambda r: {k: v for k, v in r.items() if k != "agent_y_rotation"}, "agent_y_rotation: got None, .*task_type"),
    ],
)
def test_what_cannot_be_played_is_named(tmp_path: Path, change: Change, message: str) -> None:
    record = to_record(drawn("object_nav"))
    write_records(tmp_path / "plan.jsonl", [record, change(record)])
    with pytest.raises(ChoresError, match=f"plan.jsonl:2: .*{message}"):
        read_episodes(tmp_path / "plan.jsonl")


def test_a_category_that_the_house_lacks_is_named_with_those_it_has() -> None:
    record = to_record(drawn("object_nav"))
    house = cached_house(house_seed("val", 0))
    missing = next(one for one in ("sofa.n.01", "bed.n.01", "toilet.n.02") if one.split(".")[0] not in house.categories)
    with pytest.raises(ChoresError, match=f"expected a category of house {house.seed}; available: "):
        to_episode({**record, "synsets": [missing]})


def test_a_published_line_is_kept_and_its_house_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "fetchtype_val.jsonl.gz"
    write_records(path, [PUBLISHED])
    assert read_records(path) == (PUBLISHED,)
    with pytest.raises(ChoresError, match=r"fetchtype_val.jsonl.gz:1: .*available: "):
        read_episodes(path)


def test_rubbish_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(json.dumps(PUBLISHED) + "\n[1, 2]\n", encoding="utf-8")
    with pytest.raises(ChoresError, match=r"plan.jsonl:2: got '\[1, 2\]', expected a JSON object"):
        read_records(path)
    packed = tmp_path / "plan.jsonl.gz"
    for data in (b"{}", gzip.compress(b"{}" * 99)[:-9]):
        packed.write_bytes(data)
        with pytest.raises(ChoresError, match=r"plan.jsonl.gz: got .*, expected JSON lines"):
            read_records(packed)


def test_a_house_of_no_split_has_no_index() -> None:
    with pytest.raises(SeedError, match="house seed"):
        to_record(replace(drawn("object_nav"), house_seed=30_000_000))
