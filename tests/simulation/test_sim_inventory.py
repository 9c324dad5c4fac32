"""Kinds of room, and the objects that a house asks for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simulation.houses.categories import CATEGORIES, ROOM_KINDS
from simulation.houses.inventory import draw_room_kinds, draw_wanted


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("seed", range(4))
def test_kinds_are_different_as_far_as_they_go(count: int, seed: int) -> None:
    kinds = draw_room_kinds(np.random.default_rng(seed), count)
    assert len(kinds) == count
    assert len(set(kinds[:4])) == min(count, 4)
    assert set(kinds) <= set(ROOM_KINDS)


def test_no_house_has_two_kitchens() -> None:
    assert all(draw_room_kinds(np.random.default_rng(seed), 6).count("kitchen") == 1 for seed in range(30))


def test_a_house_of_one_room_may_be_of_any_kind() -> None:
    assert {draw_room_kinds(np.random.default_rng(seed), 1)[0] for seed in range(40)} == set(ROOM_KINDS)


@pytest.mark.parametrize("seed", range(10))
def test_objects_are_wanted_where_they_live(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = draw_room_kinds(rng, 5)
    for kind, names in zip(kinds, draw_wanted(rng, kinds)):
        assert all(kind in CATEGORIES[name].rooms for name in names)


@pytest.mark.parametrize("seed", range(10))
def test_no_category_is_wanted_more_than_a_few_times(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = draw_room_kinds(rng, 6)
    counts = Counter(name for names in draw_wanted(rng, kinds) for name in names)
    assert max(counts.values()) <= 4
    assert all(counts[name] <= 2 for name in counts if name not in ("chair", "bed", "sofa", "toilet"))


def test_larger_houses_ask_for_more_categories() -> None:
    def categories(count: int) -> float:
        found = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            found.append(len({name for names in draw_wanted(rng, draw_room_kinds(rng, count)) for name in names}))
        return float(np.mean(found))

    one, three, six = (categories(count) for count in (1, 3, 6))
    assert 5.0 < one < 8.0
    assert one < three < six
    assert six > 12.5


def test_a_bedroom_nearly_always_has_a_bed() -> None:
    wanted = [draw_wanted(np.random.default_rng(seed), ["bedroom"])[0] for seed in range(80)]
    assert 0.8 < np.mean(["bed" in names for names in wanted]) <= 1.0
    assert max(names.count("bed") for names in wanted) == 1
