"""Houses: deterministic, furnished, walkable, and refused with a reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.errors import HouseGenerationError, HouseOptionsError, SeedError, SimulationError
from simulation.houses.categories import CATEGORIES
from simulation.houses.clearance import clearance_grid
from simulation.houses.floor_plan import MAX_ROOMS, Rectangle
from simulation.houses.furniture import FURNITURE
from simulation.houses.house import WALL_HEIGHT_M, House, HouseOptions, generate_house
from simulation.houses.seeds import SPLITS

MANY = 100
seeds = st.integers(0, 21_000_000)
several = settings(max_examples=15)


@cache
def houses() -> tuple[House, ...]:
    """Many houses of the training split."""
    return tuple(generate_house(seed) for seed in range(MANY))


def digest(house: House) -> str:
    """A fingerprint of all that a robot could see or bump into, to the millimetre."""
    numbers = [
        (t.name, *np.round([*t.position_m, *t.size_m, t.yaw_rad], 3)) for t in (*house.objects, *house.furniture)
    ]
    rooms = [(room.name, np.round(room.polygon, 3).tolist()) for room in house.rooms]
    doors = [(d.rooms, *np.round([*d.position_xy_m, d.width_m], 3)) for d in house.doors]
    text = repr([[(name, *(f"{v:.3f}" for v in rest)) for name, *rest in numbers], rooms, [str(d) for d in doors]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class TestSeed:
    @several
    @given(seeds)
    def test_the_same_seed_gives_the_same_house(self, seed: int) -> None:
        assert digest(generate_house(seed)) == digest(generate_house(seed))

    def test_a_negative_seed_is_an_error(self) -> None:
        with pytest.raises(SeedError, match="house seed: got -1"):
            generate_house(-1)

    @pytest.mark.parametrize("split", SPLITS)
    def test_the_first_houses_of_every_split_can_be_made(self, split: str) -> None:
        for seed in SPLITS[split][:20]:
            assert generate_house(seed).objects


class TestStatistics:
    def test_houses_have_one_to_six_rooms_small_ones_more_often(self) -> None:
        counts = Counter(len(house.rooms) for house in houses())
        assert set(counts) == set(range(1, 7))
        assert counts[1] + counts[2] > counts[5] + counts[6]

    def test_every_category_is_in_a_fair_share_of_houses(self) -> None:
        shares = Counter(name for house in houses() for name in house.categories)
        assert set(shares) == set(CATEGORIES)
        assert min(shares.values()) > 0.45 * MANY

    def test_the_options_choose_how_many_rooms(self) -> None:
        options = HouseOptions(rooms_min=2, rooms_max=3)
        assert {len(generate_house(seed, options).rooms) for seed in range(20)} == {2, 3}

    def test_weights_choose_how_often(self) -> None:
        options = HouseOptions(room_weights=(0, 0, 0, 1, 0, 0))
        assert {len(generate_house(seed, options).rooms) for seed in range(10)} == {4}


class TestContents:
    @several
    @given(seeds)
    def test_names_are_unique_and_tell_the_category(self, seed: int) -> None:
        house = generate_house(seed)
        names = [thing.name for thing in (*house.objects, *house.furniture)]
        assert len(set(names)) == len(names)
        assert all(t.name.rpartition("_")[0] == t.category.replace(" ", "_") for t in house.objects)
        assert not set(CATEGORIES) & set(FURNITURE)

    @several
    @given(seeds)
    def test_everything_lies_in_its_room(self, seed: int) -> None:
        house = generate_house(seed)
        for thing in (*house.objects, *house.furniture):
            assert house.room_at(*thing.position_m[:2]) == thing.room

    @several
    @given(seeds)
    def test_objects_live_in_the_rooms_of_their_category(self, seed: int) -> None:
        house = generate_house(seed)
        assert all(house.rooms[t.room].kind in CATEGORIES[t.category].rooms for t in house.objects)

    @several
    @given(seeds)
    def test_positions_are_middles_of_boxes_that_stand_on_something(self, seed: int) -> None:
        house = generate_house(seed)
        tops = [piece.size_m[2] for piece in house.furniture]
        for thing in house.objects:
            bottom = thing.position_m[2] - thing.size_m[2] / 2
            assert bottom == pytest.approx(0.0) if thing.is_on_floor else min(abs(bottom - top) for top in tops) < 1e-9

    @several
    @given(seeds)
    def test_sizes_are_those_of_the_category(self, seed: int) -> None:
        for thing in generate_house(seed).objects:
            smallest, largest = CATEGORIES[thing.category].size_range_m
            assert all(low <= got <= high for low, got, high in zip(smallest, thing.size_m, largest))

    def test_objects_of_a_category(self) -> None:
        house = houses()[0]
        category = house.categories[0]
        assert {thing.category for thing in house.objects_of(category)} == {category}
        assert house.objects_of("no such thing") == ()

    def test_no_room_is_outside(self) -> None:
        assert houses()[0].room_at(100.0, 0.0) is None

    def test_bounds_are_those_of_the_rooms(self) -> None:
        for house in houses()[:20]:
            corners = np.concatenate([room.polygon for room in house.rooms])
            assert house.bounds == (*corners.min(axis=0), *corners.max(axis=0))


class TestObstacles:
    def test_every_solid_thing_is_one(self) -> None:
        house = houses()[4]
        names = [obstacle.name for obstacle in house.obstacles]
        on_floor = [thing.name for thing in house.objects if thing.is_on_floor]
        assert names == [f"wall_{i}" for i in range(len(house.walls))] + [f.name for f in house.furniture] + on_floor

    def test_they_stand_on_the_floor(self) -> None:
        for house in houses()[:20]:
            for obstacle in house.obstacles:
                assert obstacle.bottom_m == pytest.approx(0.0)
                assert 0.2 < obstacle.top_m <= WALL_HEIGHT_M

    def test_only_a_chair_at_its_table_overlaps_something(self) -> None:
        for house in houses()[:40]:
            things = [o for o in house.obstacles if not o.name.startswith("wall")]
            for i, a in enumerate(things):
                for b in things[i + 1 :]:
                    if a.name.startswith("chair") or b.name.startswith("chair"):
                        continue
                    middle = np.array(b.centre_xy_m)
                    assert a.distance_m(middle[0], middle[1]) >= min(b.half_xy_m) - 1e-6, (house.seed, a.name, b.name)


class TestWalkable:
    @several
    @given(seeds)
    def test_a_robot_gets_through_every_door_and_near_every_object(self, seed: int) -> None:
        house = generate_house(seed)
        rooms = [Rectangle(*room.polygon.min(axis=0), *room.polygon.max(axis=0)) for room in house.rooms]
        grid = clearance_grid(rooms, Rectangle(*house.bounds), house.obstacles, 0.33, cell_m=0.08)
        for door in house.doors:
            assert grid.has(*door.position_xy_m)
        for thing in house.objects:
            x, y = thing.position_m[:2]
            reach = np.hypot(grid.x_m[None, :] - x, grid.y_m[:, None] - y)[grid.free].min()
            assert reach - max(thing.size_m[:2]) / 2 < 1.25

    @several
    @given(seeds)
    def test_every_room_has_open_floor(self, seed: int) -> None:
        house = generate_house(seed)
        for room in house.rooms:
            outline = Rectangle(*room.polygon.min(axis=0), *room.polygon.max(axis=0))
            grid = clearance_grid([outline], outline, house.obstacles, 0.33)
            assert grid.free.sum() * 0.01 > 1.5


class TestRefusal:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rooms_min": 0}, r"rooms_min, rooms_max: got '0 to 6', expected 1 <= rooms_min <= rooms_max <= 6"),
            ({"rooms_min": 4, "rooms_max": 3}, "got '4 to 3'"),
            ({"rooms_max": MAX_ROOMS + 1}, "got '1 to 7'"),
            ({"room_side_m": (5.0, 4.0)}, r"room_side_m: got \(5.0, 4.0\), expected 0 < shortest <= longest"),
            ({"room_side_m": (0.0, 4.0)}, "room_side_m"),
            ({"door_width_m": (-1.0, 1.0)}, "door_width_m"),
            ({"room_weights": (1.0, 1.0)}, "room_weights: .* expected 6 weights"),
            ({"room_weights": (1.0, 0, 0, 0, 0, 0), "rooms_min": 2}, "some positive in the range"),
            ({"categories_min": 16}, "categories_min: got 16, expected 0 to 15"),
        ],
    )
    def test_impossible_options_say_what_was_expected(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(HouseOptionsError, match=message):
            HouseOptions(**options)  # type: ignore[arg-type]

    def test_rooms_too_small_for_a_door_name_the_door(self) -> None:
        options = HouseOptions(rooms_min=2, rooms_max=2, room_side_m=(1.0, 1.2))
        with pytest.raises(
            HouseGenerationError, match="house 5: no place for a door to each of 2 rooms in 25 attempts"
        ) as caught:
            generate_house(5, options)
        assert caught.value.seed == 5
        assert caught.value.attempts == 25
        assert isinstance(caught.value, SimulationError)

    def test_a_closet_has_no_place_for_objects(self) -> None:
        options = HouseOptions(rooms_max=1, room_side_m=(1.0, 1.1))
        with pytest.raises(HouseGenerationError, match="no place for 4 categories of object"):
            generate_house(0, options)

    def test_a_robot_too_wide_for_the_doors_is_told_so(self) -> None:
        options = HouseOptions(rooms_min=2, rooms_max=2, robot_radius_m=0.8)
        with pytest.raises(HouseGenerationError, match=r"no place for a (free passage through the door|robot near)"):
            generate_house(0, options)


GOLDEN = {
    0: "891be8bb1bb0e52f",
    1: "15e550bd0f285559",
    7: "9282e698d8633f7d",
    10_000_000: "237be83c3768b32f",
    20_000_000: "48a3c0a02625a543",
    20_000_001: "761ab2bd86d4fa7f",
}
"""Fingerprints of houses by seed."""


@pytest.mark.parametrize("seed", GOLDEN)
def test_houses_that_policies_were_trained_and_tested_in_stay_as_they_are(seed: int) -> None:
    assert digest(generate_house(seed)) == GOLDEN[seed], (
        "this seed gives another house than before: policies trained on the old houses and their published results "
        "no longer belong to these; if that is meant, say so in the changelog and renew the fingerprints"
    )
