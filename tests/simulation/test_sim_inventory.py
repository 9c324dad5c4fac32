"""Kinds of room, and the objects that a house asks for."""

from __future__ import annotations

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


@pytest.mark.parametrize("seed", range(10))
def test_objects_are_wanted_where_they_live(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = draw_room_kinds(rng, 5)
    for kind, names in zip(kinds, draw_wanted(rng, kinds)):
        assert all(kind in CATEGORIES[name].rooms for name in names)
