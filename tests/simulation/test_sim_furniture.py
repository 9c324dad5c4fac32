"""Furniture stands in its box, reaches its height, and has a flat top where objects may stand."""

from __future__ import annotations

import numpy as np
import pytest
from parts import reach_of, triangles_of

from simulation.houses.furniture import FURNITURE
from simulation.houses.objects.part import Part, Vector
from simulation.houses.room_layout import draw_size

SEEDS = range(4)


def drawn(name: str, seed: int) -> tuple[Vector, tuple[Part, ...]]:
    rng = np.random.default_rng(seed)
    size = draw_size(rng, FURNITURE[name].size_range_m)
    return size, FURNITURE[name].build(size, rng)


@pytest.mark.parametrize("name", FURNITURE)
class TestEveryKind:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_fills_its_box_but_for_a_handle(self, name: str, seed: int) -> None:
        (depth, width, height), parts = drawn(name, seed)
        low, high = reach_of(parts)
        np.testing.assert_allclose(low, (-depth / 2, -width / 2, 0.0), atol=0.02)
        np.testing.assert_allclose(high[:2], (depth / 2, width / 2), atol=0.02)
        assert high[2] >= height - 1e-6

    def test_it_is_made_of_few_triangles(self, name: str) -> None:
        assert triangles_of(drawn(name, 0)[1]) <= 450

    def test_the_same_chance_makes_the_same_piece(self, name: str) -> None:
        one, two = drawn(name, 2)[1], drawn(name, 2)[1]
        assert [(p.kind, p.position_m, p.paint) for p in one] == [(p.kind, p.position_m, p.paint) for p in two]


def test_tops_are_lower_than_the_head_camera() -> None:
    tops = [kind.size_range_m[1][2] for kind in FURNITURE.values() if kind.has_top]
    assert len(tops) >= 8
    assert max(tops) <= 0.95
