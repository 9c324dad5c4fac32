"""ObjNavRelAttr: objects with a unique attribute, and that only they count."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from small_house import MUG, small_house

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.experts.object_nav import ObjectNavExpert
from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.navigation.goals import targets_of
from simulation.task_registry import is_success
from simulation.tasks.instructions import attribute_instruction
from simulation.tasks.object_nav_rel_attr import DISTANCE_GAP_M, VOLUME_RATIO, choices, sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions

LARGE = replace(MUG, name="mug_1", position_m=(1.7, 0.4, 0.80), size_m=(0.12, 0.15, 0.14))
FAR = replace(MUG, name="mug_1", position_m=(-2.5, 0.0, 0.80))


def episodes(count: int) -> list[EpisodeSpec]:
    drawn = []
    for index in range(count):
        with suppress(EpisodeGenerationError):
            drawn.append(sample_episode(house_seed("val", index), index))
    return drawn


def attributes(house_objects: tuple[object, ...]) -> set[tuple[str, str, str | None]]:
    return {(one.thing.name, one.attribute, one.reference) for one in choices(small_house(house_objects))}  # type: ignore[arg-type]


def test_size_stands_out_by_a_fifth() -> None:
    assert attributes((MUG, LARGE)) >= {("mug_0", "smallest", None), ("mug_1", "largest", None)}
    alike = replace(LARGE, size_m=(0.10, 0.13, 0.12 * (VOLUME_RATIO - 0.01)))
    assert not {one for one in attributes((MUG, alike)) if one[2] is None}
    assert not attributes((MUG,))  # alone


def test_distance_stands_out_by_half_a_metre_from_what_there_is_one_of() -> None:
    found = attributes((MUG, FAR))
    assert found == {
        ("mug_0", "closest", "table"),
        ("mug_1", "furthest", "table"),
        ("mug_1", "closest", "wardrobe"),
        ("mug_0", "furthest", "wardrobe"),
    }
    near = replace(FAR, position_m=(1.7, 0.4, 0.80))
    gaps = abs(math.dist((1.7, 0.4), (-1.0, -1.8)) - math.dist((1.7, 0.0), (-1.0, -1.8)))
    assert gaps < DISTANCE_GAP_M
    assert not attributes((MUG, near))


def test_the_words_are_those_of_chores() -> None:
    rng = np.random.default_rng(1)
    instructions = [
        attribute_instruction("mug", "smallest", None, "kitchen", rng),
        attribute_instruction("chair", "closest", "bed", "bedroom", rng),
        attribute_instruction("chair", "furthest", "tv stand", "living room", rng),
    ]
    assert instructions[0].endswith(" the smallest mug in the kitchen")
    assert instructions[1].endswith(" the chair closest to the bed in the bedroom")
    assert instructions[2].endswith(" the chair furthest from the tv stand in the living room")


def test_an_episode_has_one_target_among_its_like() -> None:
    drawn = episodes(40)
    assert len(drawn) >= 12
    for episode in drawn:
        house = cached_house(episode.house_seed)
        (thing,) = targets_of(house, episode)
        kind = house.rooms[thing.room].kind
        assert (episode.task, episode.target, episode.objects) == (
            "object_nav_rel_attr",
            thing.category,
            (thing.name,),
        )
        assert episode.instruction.endswith(f"in the {kind}")
        assert len([one for one in house.objects_of(thing.category) if house.rooms[one.room].kind == kind]) > 1
    assert len({episode.target for episode in drawn}) > 2


def test_a_house_where_nothing_stands_out_has_none() -> None:
    seed = next(seed for seed in range(20) if not list(choices(cached_house(seed))))
    with pytest.raises(EpisodeGenerationError, match="no object that is unique"):
        sample_episode(seed)
    with pytest.raises(SeedError, match="episode seed: got -1"):
        sample_episode(1, -1)


def test_the_expert_goes_to_the_one() -> None:
    drawn = episodes(25)[:5]
    with StretchTwin(TwinOptions(height=24, width=40)) as twin:
        expert = ObjectNavExpert(twin)
        for episode in drawn:
            twin.reset(episode)
            steps = 0
            while (action := expert.action()) != "done" and steps < 150:
                twin.execute(twin.spec.actions[action])
                steps += 1
            assert is_success(twin)


def test_another_of_its_kind_does_not_do() -> None:
    """The robot stands before the one; were the other meant, which is far away, `done` would be wrong."""
    for episode in episodes(40):
        house = cached_house(episode.house_seed)
        (thing,) = targets_of(house, episode)
        far = [
            one.name
            for one in house.objects_of(episode.target)
            if math.dist(one.position_m[:2], thing.position_m[:2]) > 6.0
        ]
        if far:
            break
    with StretchTwin(TwinOptions(height=24, width=40)) as twin:
        expert = ObjectNavExpert(twin)
        twin.reset(episode)
        while (action := expert.action()) != "done":
            twin.execute(twin.spec.actions[action])
        assert is_success(twin)
        twin.reset(replace(episode, objects=(far[0],), start=twin.pose))
        assert not is_success(twin)
