"""Furniture and objects of rooms, and their surfaces."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from simulation.houses.categories import CATEGORIES, ROOM_KINDS
from simulation.houses.floor_plan import Door, Rectangle
from simulation.houses.furnishing import RECIPES, RoomContents, Top, furnish
from simulation.houses.furniture import FURNITURE
from simulation.houses.room_layout import Placed, outline_of

INSIDE = Rectangle(-2.4, -2.2, 2.4, 2.2)
DOORS = (Door((2.46, 0.0), 1.2, (0, 1), 1),)
WANTED = {
    "kitchen": ["apple", "bowl", "mug", "chair", "garbage can", "spray bottle"],
    "bedroom": ["bed", "alarm clock", "basketball", "laptop", "television", "house plant"],
    "bathroom": ["toilet", "garbage can", "spray bottle", "vase"],
    "living room": ["sofa", "television", "house plant", "vase", "basketball", "chair"],
}


def furnished(kind: str, seed: int) -> RoomContents:
    return furnish(np.random.default_rng(seed), kind, INSIDE, DOORS, WANTED[kind])


def table(yaw: float = 0.0, size: tuple[float, float, float] = (0.8, 1.2, 0.74)) -> Placed:
    return Placed("table", (1.0, 2.0, 0.0), yaw, size, outline_of(1.0, 2.0, yaw, size))


class TestTop:
    @pytest.mark.parametrize("yaw", [0.0, np.pi / 2, np.pi, -np.pi / 2])
    def test_objects_stand_on_it_within_its_edges(self, yaw: float) -> None:
        under, rng = table(yaw), np.random.default_rng(0)
        top = Top(under)
        placed = [top.place("mug", (0.1, 0.13, 0.12), rng) for _ in range(4)]
        for thing in placed:
            assert thing is not None
            assert thing.position_m[2] == 0.74
            assert under.outline.x_min < thing.outline.x_min < thing.outline.x_max < under.outline.x_max
            assert under.outline.y_min < thing.outline.y_min < thing.outline.y_max < under.outline.y_max

    def test_objects_on_it_do_not_touch(self) -> None:
        top, rng = Top(table()), np.random.default_rng(1)
        placed = [thing for _ in range(12) if (thing := top.place("bowl", (0.2, 0.2, 0.1), rng)) is not None]
        assert len(placed) >= 3
        for a, b in combinations(placed, 2):
            assert np.hypot(a.position_m[0] - b.position_m[0], a.position_m[1] - b.position_m[1]) > 0.2

    def test_it_fills_up(self) -> None:
        top, rng = Top(table()), np.random.default_rng(1)
        assert [top.place("laptop", (0.3, 0.4, 0.25), rng) for _ in range(30)].count(None) > 20

    def test_objects_stand_near_its_front(self) -> None:
        rng = np.random.default_rng(2)
        for _ in range(20):
            thing = Top(table(np.pi / 2)).place("apple", (0.1, 0.1, 0.1), rng)
            assert thing is not None
            assert thing.position_m[1] > 2.0

    def test_what_is_too_large_for_it_has_no_place(self) -> None:
        assert Top(table(size=(0.3, 0.3, 0.5))).place("television", (0.2, 0.9, 0.6), np.random.default_rng(0)) is None

    @pytest.mark.parametrize("kind", ["laptop", "television", "alarm clock"])
    def test_what_has_a_face_looks_to_the_front(self, kind: str) -> None:
        rng = np.random.default_rng(3)
        for _ in range(10):
            thing = Top(table(np.pi / 2)).place(kind, (0.2, 0.3, 0.2), rng)
            assert thing is not None
            assert abs(thing.yaw_rad - np.pi / 2) <= 0.25


class TestRecipes:
    def test_every_kind_of_room_has_one_and_it_names_furniture_that_exists(self) -> None:
        assert set(RECIPES) == set(ROOM_KINDS)
        assert {name for recipe in RECIPES.values() for name, _ in recipe} <= set(FURNITURE)

    @pytest.mark.parametrize("kind", ROOM_KINDS)
    def test_probabilities_are_probabilities(self, kind: str) -> None:
        assert all(0 < probability <= 1 for _, probability in RECIPES[kind])

    @pytest.mark.parametrize("kind", ROOM_KINDS)
    def test_every_kind_of_room_tends_to_have_something_to_put_things_on(self, kind: str) -> None:
        assert sum(probability for name, probability in RECIPES[kind] if FURNITURE[name].has_top) > 1.4


@pytest.mark.parametrize("kind", ROOM_KINDS)
@pytest.mark.parametrize("seed", range(6))
class TestFurnishedRoom:
    def test_what_was_wanted_is_there_or_missing(self, kind: str, seed: int) -> None:
        contents = furnished(kind, seed)
        assert sorted([thing.kind for thing in contents.objects] + list(contents.missing)) == sorted(WANTED[kind])

    def test_everything_stands_in_the_room(self, kind: str, seed: int) -> None:
        contents = furnished(kind, seed)
        for thing in (*contents.furniture, *contents.objects):
            x, y = thing.position_m[:2]
            assert INSIDE.x_min < x < INSIDE.x_max
            assert INSIDE.y_min < y < INSIDE.y_max

    def test_what_belongs_on_a_top_stands_on_one_and_the_rest_on_the_floor(self, kind: str, seed: int) -> None:
        contents = furnished(kind, seed)
        for thing in contents.objects:
            z = thing.position_m[2]
            if CATEGORIES[thing.kind].is_on_floor:
                assert z == 0.0
            else:
                x, y = thing.position_m[:2]
                under = [piece for piece in contents.furniture if piece.outline.gap(Rectangle(x, y, x, y)) < 0]
                assert z in [piece.size_m[2] for piece in under]
                assert all(FURNITURE[piece.kind].has_top for piece in under)

    def test_tops_are_where_the_head_camera_looks(self, kind: str, seed: int) -> None:
        heights = [t.position_m[2] for t in furnished(kind, seed).objects if not CATEGORIES[t.kind].is_on_floor]
        assert all(0.3 <= height <= 0.95 for height in heights)

    def test_the_same_chance_furnishes_the_same_room(self, kind: str, seed: int) -> None:
        assert furnished(kind, seed) == furnished(kind, seed)


def test_most_of_what_is_wanted_finds_a_place() -> None:
    missing = sum(len(furnished(kind, seed).missing) for kind in ROOM_KINDS for seed in range(15))
    wanted = sum(len(WANTED[kind]) for kind in ROOM_KINDS) * 15
    assert missing < 0.2 * wanted


def test_a_television_brings_its_stand() -> None:
    contents = furnish(np.random.default_rng(0), "kitchen", INSIDE, DOORS, ["television"])
    assert {"tv stand", "dresser"} & {piece.kind for piece in contents.furniture}
    assert [thing.kind for thing in contents.objects] == ["television"]


def test_a_room_too_small_for_anything_reports_it_as_missing() -> None:
    closet = Rectangle(0.0, 0.0, 0.9, 0.9)
    contents = furnish(np.random.default_rng(0), "bedroom", closet, (), ["bed", "mug"])
    assert "bed" in contents.missing
