"""ObjNavAfford: the table, the words, and that everything that will do counts."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.errors import SeedError
from simulation.experts.object_nav import ObjectNavExpert
from simulation.houses.cache import cached_house
from simulation.houses.categories import CATEGORIES
from simulation.houses.seeds import house_seed
from simulation.navigation.goals import targets_of
from simulation.task_registry import is_success
from simulation.tasks.instructions import GOTO_VERBS, affordance_instruction, with_article
from simulation.tasks.object_nav_afford import AFFORDANCES, CALLED, objects_for, sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions


def test_every_category_is_good_for_something_and_called_something() -> None:
    assert set(CALLED) == set(CATEGORIES)
    assert {category for some in AFFORDANCES.values() for category in some} == set(CATEGORIES)
    for some in AFFORDANCES.values():
        assert len({CALLED[category] for category in some}) == 1


def test_no_affordance_names_its_object() -> None:
    for affordance, some in AFFORDANCES.items():
        assert not any(word in affordance.split() for category in some for word in category.split())


def test_the_words_are_those_of_chores() -> None:
    instruction = affordance_instruction("instrument", "waking up", np.random.default_rng(0))
    verb = instruction.removesuffix(" an instrument that can best be used for waking up")
    assert verb in GOTO_VERBS


def test_an_episode_names_every_object_that_will_do() -> None:
    drawn = [sample_episode(house_seed("val", index), index) for index in range(30)]
    for episode in drawn:
        house = cached_house(episode.house_seed)
        affordance = episode.instruction.partition(" that can best be used for ")[2]
        assert episode.objects == objects_for(house, affordance)
        categories = {thing.category for thing in targets_of(house, episode)}
        assert categories <= set(AFFORDANCES[affordance])
        assert {CALLED[category] for category in categories} == {episode.target}
        assert f" {with_article(episode.target)} that " in episode.instruction
        assert (episode.task, episode.max_steps) == ("object_nav_afford", 600)
    assert len({episode.target for episode in drawn}) >= 5
    with pytest.raises(SeedError, match="episode seed: got -1"):
        sample_episode(1, -1)


def test_the_expert_finds_one() -> None:
    with StretchTwin(TwinOptions(height=24, width=40)) as twin:
        expert = ObjectNavExpert(twin)
        for index in range(6):
            twin.reset(sample_episode(house_seed("val", index), index))
            steps = 0
            while (action := expert.action()) != "done" and steps < 150:
                twin.execute(twin.spec.actions[action])
                steps += 1
            assert is_success(twin), index
