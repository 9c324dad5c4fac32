"""Placing things in a room so that the passages between them stay open."""

from __future__ import annotations

from itertools import combinations, islice

import numpy as np
import pytest

from simulation.houses.floor_plan import Door, Rectangle
from simulation.houses.room_layout import PASSAGE_M, Placed, RoomLayout, outline_of

INSIDE = Rectangle(0.0, 0.0, 5.0, 4.0)
DOOR = Door((5.06, 2.0), 1.2, (0, 1), 1)
BOX = (0.6, 1.0, 0.8)


def room(*doors: Door) -> RoomLayout:
    return RoomLayout.of(INSIDE, doors)


def stand(layout: RoomLayout, outline: Rectangle) -> Placed:
    return layout.add(Placed("thing", (*outline.centre, 0.0), 0.0, (*outline.size, 1.0), outline))


class TestOutline:
    @pytest.mark.parametrize("yaw", [np.pi / 2, -np.pi / 2])
    def test_a_quarter_turn_swaps_depth_and_width(self, yaw: float) -> None:
        outline = outline_of(0.0, 0.0, yaw, BOX)
        assert outline.size == pytest.approx((1.0, 0.6))

    def test_a_turned_square_is_wider_by_the_diagonal(self) -> None:
        assert outline_of(0.0, 0.0, np.pi / 4, (1.0, 1.0)).size == pytest.approx((np.sqrt(2), np.sqrt(2)))


class TestFits:
    @pytest.mark.parametrize(
        ("gap", "fits"), [(0.0, True), (0.1, True), (0.2, False), (0.5, False), (0.7, False), (0.8, True), (1.5, True)]
    )
    def test_things_touch_or_leave_a_passage(self, gap: float, fits: bool) -> None:
        layout = room()
        stand(layout, Rectangle(0.0, 0.0, 1.0, 0.5))
        assert layout.fits(Rectangle(1.0 + gap, 0.0, 1.8 + gap, 0.5)) is fits

    @pytest.mark.parametrize(("gap", "fits"), [(0.05, True), (0.4, False), (1.0, True)])
    def test_so_it_is_with_walls(self, gap: float, fits: bool) -> None:
        assert room().fits(Rectangle(gap, 1.5, gap + 0.5, 2.0)) is fits

    def test_nothing_stands_in_the_wall(self) -> None:
        assert not room().fits(Rectangle(-0.1, 1.5, 0.5, 2.0))

    def test_nothing_stands_in_something_else(self) -> None:
        layout = room()
        stand(layout, Rectangle(2.0, 1.5, 3.0, 2.5))
        assert not layout.fits(Rectangle(2.5, 1.6, 2.9, 2.0))

    def test_nothing_stands_before_a_door(self) -> None:
        before = Rectangle(4.4, 1.8, 4.98, 2.4)
        assert room().fits(before)
        assert not room(DOOR).fits(before)

    def test_beside_a_door_things_may_stand(self) -> None:
        assert room(DOOR).fits(Rectangle(4.4, 0.02, 4.98, 1.2))

    def test_a_chair_may_stand_beneath_its_own_table_only(self) -> None:
        layout = room()
        table = stand(layout, Rectangle(2.0, 1.5, 3.0, 2.3))
        under = Rectangle(2.2, 2.1, 2.6, 2.6)
        assert layout.fits(under, beneath=table)
        assert not layout.fits(under)

    def test_the_passage_is_wider_than_a_turning_stretch(self) -> None:
        assert PASSAGE_M > 2 * 0.33


class TestPlace:
    def test_it_takes_the_first_spot_that_fits(self) -> None:
        placed = room().place("crate", BOX, [(0.5, 2.0, 0.0), (2.5, 2.0, 0.0), (2.6, 2.0, 0.0)])
        assert placed is not None
        assert placed.position_m == (2.5, 2.0, 0.0)
        assert placed.kind == "crate"

    def test_it_gives_up_after_so_many_tries(self) -> None:
        layout = room()
        assert layout.place("crate", BOX, [(0.5, 2.0, 0.0)] * 3 + [(2.5, 2.0, 0.0)], tries=3) is None
        assert layout.placed == []

    def test_it_gives_up_where_there_is_no_spot(self) -> None:
        assert room().place("crate", BOX, []) is None

    @pytest.mark.parametrize("seed", range(5))
    def test_what_it_places_keeps_passages(self, seed: int) -> None:
        layout, rng = room(DOOR), np.random.default_rng(seed)
        for _ in range(15):
            size = (float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 1.5)), 1.0)
            layout.place("crate", size, layout.along_walls(rng, size))
        assert len(layout.placed) >= 4
        for a, b in combinations(layout.placed, 2):
            gap = a.outline.gap(b.outline)
            assert gap >= PASSAGE_M or -1e-6 <= gap <= 0.13


class TestSpots:
    @pytest.mark.parametrize("seed", range(4))
    def test_along_walls_the_back_is_to_a_wall_and_the_front_to_the_room(self, seed: int) -> None:
        layout = room()
        for x, y, yaw in islice(layout.along_walls(np.random.default_rng(seed), BOX), 40):
            outline = outline_of(x, y, yaw, BOX)
            back = np.array([x, y]) - (BOX[0] / 2 + 0.03) * np.array([np.cos(yaw), np.sin(yaw)])
            assert not (INSIDE.x_min < back[0] < INSIDE.x_max and INSIDE.y_min < back[1] < INSIDE.y_max)
            assert INSIDE.shrunk(0.019).gap(outline) < 0
            assert min(outline.x_min, outline.y_min, 5 - outline.x_max, 4 - outline.y_max) >= -1e-9

    def test_something_wider_than_the_room_has_no_spot(self) -> None:
        assert list(room().along_walls(np.random.default_rng(0), (0.5, 7.0))) == []

    def test_something_too_large_for_the_open_floor_has_no_spot(self) -> None:
        assert list(room().anywhere(np.random.default_rng(0), (3.0, 3.0))) == []
