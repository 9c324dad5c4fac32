"""The 15 categories of CHORES-S."""

from __future__ import annotations

import re

import pytest

from simulation.errors import SimulationError, UnknownCategory
from simulation.houses.categories import CATEGORIES, ROOM_KINDS, category_of

CHORES_S = {
    "AlarmClock", "Apple", "BasketBall", "Bed", "Bowl", "Chair", "GarbageCan", "HousePlant", "Laptop", "Mug", "Sofa",
    "SprayBottle", "Television", "Toilet", "Vase",
}  # fmt: skip
"""FLaRe's utils/constants/object_constants.py, without BaseballBat."""


def test_the_categories_are_those_of_chores_s() -> None:
    assert {category.thor_name for category in CATEGORIES.values()} == CHORES_S


def test_synsets_are_wordnet_nouns_and_all_different() -> None:
    synsets = [category.synset for category in CATEGORIES.values()]
    assert len(set(synsets)) == len(CATEGORIES)
    assert all(re.fullmatch(r"[a-z_]+\.n\.\d\d", synset) for synset in synsets)


@pytest.mark.parametrize("name", CATEGORIES)
def test_every_category_lives_somewhere(name: str) -> None:
    rooms = CATEGORIES[name].rooms
    assert rooms
    assert set(rooms) <= set(ROOM_KINDS)


@pytest.mark.parametrize("name", [name for name, category in CATEGORIES.items() if category.surface == "table"])
def test_what_stands_on_a_table_is_large_enough_to_see_and_fits_on_every_kind_of_shelf(name: str) -> None:
    smallest, largest = CATEGORIES[name].size_range_m
    assert max(smallest) >= 0.09
    assert max(largest[:2]) <= 0.45


def test_an_unknown_category_names_those_that_exist() -> None:
    with pytest.raises(
        UnknownCategory, match=r"object category: got .baseball bat., expected one of .* alarm clock, apple"
    ) as caught:
        category_of("baseball bat")
    assert isinstance(caught.value, SimulationError)
    assert set(caught.value.available) == set(CATEGORIES)


def test_the_name_in_thor_is_not_the_name_in_an_instruction() -> None:
    with pytest.raises(UnknownCategory):
        category_of("AlarmClock")
