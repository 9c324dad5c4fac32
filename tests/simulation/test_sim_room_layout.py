"""Placing things in a room so that the passages between them stay open."""

from __future__ import annotations

from itertools import combinations, islice

import numpy as np
import pytest

from simulation.houses.floor_plan import Door, Rectangle
from simulation.houses.room_layout import PASSAGE_M, Placed, RoomLayout, draw_size, outline_of, seat_spots

INSIDE = Rectangle(0.0, 0.0, 5.0, 4.0)
DOOR = Door((5.06, 2.0), 1.2, (0, 1), 1)
BOX = (0.6, 1.0, 0.8)


def room(*doors: Door) -> RoomLayout:
    return RoomLayout.of(INSIDE, doors)


def stand(layout: RoomLayout, outline: Rectangle) -> Placed:
    return layout.add(Placed("thing", (*outline.centre, 0.0), 0.0, (*outline.size, 1.0), outline))


class TestDrawSize:
    def test_each_extent_is_drawn_from_its_own_range(self) -> None:
        rng = np.random.default_rng(0)
        sizes = np.array([draw_size(rng, ((0.1, 1.0, 5.0), (0.2, 2.0, 6.0))) for _ in range(50)])
        assert (sizes.min(axis=0) >= (0.1, 1.0, 5.0)).all()
        assert (sizes.max(axis=0) <= (0.2, 2.0, 6.0)).all()
        assert np.corrcoef(sizes[:, 0], sizes[:, 1])[0, 1] < 0.6

    def test_equal_ranges_of_depth_and_width_make_something_round(self) -> None:
        depth, width, _ = draw_size(np.random.default_rng(0), ((0.1, 0.1, 0.1), (0.4, 0.4, 0.9)))
        assert depth == width


class TestOutline:
    def test_unturned(self) -> None:
        assert outline_of(1.0, 2.0, 0.0, BOX) == Rectangle(0.7, 1.5, 1.3, 2.5)

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

    def test_along_walls_uses_every_wall(self) -> None:
        spots = islice(room().along_walls(np.random.default_rng(0), BOX), 60)
        assert {round(yaw, 3) for _, _, yaw in spots} == {round(a, 3) for a in (0.0, np.pi / 2, np.pi, -np.pi / 2)}

    def test_something_wider_than_the_room_has_no_spot(self) -> None:
        assert list(room().along_walls(np.random.default_rng(0), (0.5, 7.0))) == []

    def test_anywhere_keeps_off_the_walls(self) -> None:
        for x, y, yaw in islice(room().anywhere(np.random.default_rng(0), BOX), 40):
            outline = outline_of(x, y, yaw, BOX)
            assert min(outline.x_min, outline.y_min, 5 - outline.x_max, 4 - outline.y_max) >= PASSAGE_M

    def test_something_too_large_for_the_open_floor_has_no_spot(self) -> None:
        assert list(room().anywhere(np.random.default_rng(0), (3.0, 3.0))) == []


class TestSeats:
    TABLE = Placed("table", (2.5, 2.0, 0.0), np.pi / 2, (0.8, 1.2, 0.74), outline_of(2.5, 2.0, np.pi / 2, (0.8, 1.2)))
    CHAIR = (0.45, 0.42, 0.9)

    def test_a_table_at_a_wall_has_a_seat_in_front(self) -> None:
        (spot,) = seat_spots(np.random.default_rng(0), self.TABLE, self.CHAIR, all_sides=False)
        assert spot[1] > self.TABLE.outline.y_max
        assert abs(spot[0] - 2.5) < 0.4

    @pytest.mark.parametrize("seed", range(6))
    def test_seats_face_the_table_and_reach_under_it(self, seed: int) -> None:
        spots = seat_spots(np.random.default_rng(seed), self.TABLE, self.CHAIR, all_sides=True)
        assert len(spots) == 4
        for x, y, yaw in spots:
            ahead = Rectangle(*(np.array([x, y, x, y]) + 0.35 * np.tile([np.cos(yaw), np.sin(yaw)], 2)))
            assert self.TABLE.outline.gap(ahead) < 0
            assert self.TABLE.outline.gap(Rectangle(x, y, x, y)) > 0

    def test_the_four_seats_are_on_four_sides(self) -> None:
        spots = seat_spots(np.random.default_rng(1), self.TABLE, self.CHAIR, all_sides=True)
        sides = {(x > 3.1) - (x < 1.9) + 2 * ((y > 2.4) - (y < 1.6)) for x, y, _ in spots}
        assert sides == {-2, -1, 1, 2}
