"""Rectangles, doors and drawn floor plans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.houses.floor_plan import (
    MAX_ROOMS,
    Door,
    FloorPlan,
    Rectangle,
    bounding_rectangle,
    draw_floor_plan,
    shared_wall,
)

SIDE_M, DOOR_M = (3.4, 5.5), (1.1, 1.4)
SQUARE = Rectangle(0.0, 0.0, 4.0, 4.0)


def plan_of(seed: int, count: int) -> FloorPlan:
    """A plan from the first attempt that has doors to all rooms."""
    for attempt in range(20):
        plan = draw_floor_plan(np.random.default_rng([seed, attempt]), count, SIDE_M, DOOR_M)
        if plan is not None:
            return plan
    raise AssertionError("20 attempts gave no plan")


plans = st.builds(plan_of, st.integers(0, 10**6), st.integers(1, MAX_ROOMS))
many = settings(max_examples=20)


class TestRectangle:
    @pytest.mark.parametrize(
        ("other", "gap"),
        [
            (Rectangle(5.0, 1.0, 6.0, 2.0), 1.0),
            (Rectangle(1.0, 4.5, 2.0, 6.0), 0.5),
            (Rectangle(7.0, 8.0, 9.0, 9.0), 5.0),
            (Rectangle(4.0, 0.0, 5.0, 4.0), 0.0),
            (Rectangle(3.0, 3.5, 9.0, 9.0), -0.5),
            (Rectangle(1.0, 1.0, 2.0, 2.0), -2.0),
        ],
        ids=["beside", "above", "diagonal", "touching", "overlapping", "inside"],
    )
    def test_the_gap_to_another(self, other: Rectangle, gap: float) -> None:
        assert SQUARE.gap(other) == pytest.approx(gap)
        assert other.gap(SQUARE) == pytest.approx(gap)

    def test_the_rectangle_around_several(self) -> None:
        assert bounding_rectangle([SQUARE, Rectangle(-1.0, 2.0, 1.0, 7.0)]) == Rectangle(-1.0, 0.0, 4.0, 7.0)


class TestSharedWall:
    def test_side_by_side(self) -> None:
        assert shared_wall(SQUARE, Rectangle(4.0, 1.0, 8.0, 9.0)) == (1, 4.0, 1.0, 4.0)

    def test_one_above_the_other(self) -> None:
        assert shared_wall(SQUARE, Rectangle(-2.0, 4.0, 1.5, 8.0)) == (0, 4.0, 0.0, 1.5)

    def test_apart(self) -> None:
        assert shared_wall(SQUARE, Rectangle(4.5, 0.0, 8.0, 4.0)) is None

    def test_a_common_corner_is_no_wall(self) -> None:
        assert shared_wall(SQUARE, Rectangle(4.0, 4.0, 8.0, 8.0)) is None


class TestDoor:
    def test_the_zone_of_a_door_in_a_wall_along_x_reaches_into_y(self) -> None:
        door = Door((1.0, 4.0), 1.2, (0, 1), 0)
        zone = door.zone(0.8, 0.1)
        assert (zone.x_min, zone.x_max) == pytest.approx((0.3, 1.7))
        assert (zone.y_min, zone.y_max) == pytest.approx((3.2, 4.8))

    def test_the_zone_of_a_door_in_a_wall_along_y_reaches_into_x(self) -> None:
        zone = Door((4.0, 1.0), 1.0, (0, 1), 1).zone(0.5)
        assert (zone.x_min, zone.x_max, zone.y_min, zone.y_max) == pytest.approx((3.5, 4.5, 0.5, 1.5))


class TestDrawnPlan:
    @many
    @given(plans)
    def test_rooms_do_not_overlap(self, plan: FloorPlan) -> None:
        for i, a in enumerate(plan.rooms):
            assert all(a.gap(b) > -1e-9 for b in plan.rooms[i + 1 :])

    @many
    @given(plans)
    def test_sides_are_as_long_as_asked(self, plan: FloorPlan) -> None:
        sides = np.array([room.size for room in plan.rooms])
        assert sides.min() >= SIDE_M[0] - 1e-9
        assert sides.max() <= SIDE_M[1] + 1e-9

    @many
    @given(plans)
    def test_the_house_lies_around_the_origin(self, plan: FloorPlan) -> None:
        assert bounding_rectangle(list(plan.rooms)).centre == pytest.approx((0.0, 0.0), abs=1e-9)

    @many
    @given(plans)
    def test_every_room_is_reached_through_doors(self, plan: FloorPlan) -> None:
        seen, queue = {0}, [0]
        while queue:
            room = queue.pop()
            for door in plan.doors:
                if room in door.rooms:
                    fresh = set(door.rooms) - seen
                    seen |= fresh
                    queue += fresh
        assert seen == set(range(len(plan.rooms)))

    @many
    @given(plans)
    def test_doors_lie_in_a_wall_that_both_rooms_share_and_keep_off_its_corners(self, plan: FloorPlan) -> None:
        for door in plan.doors:
            wall = shared_wall(plan.rooms[door.rooms[0]], plan.rooms[door.rooms[1]])
            assert wall is not None
            axis, across, low, high = wall
            assert door.axis == axis
            assert door.position_xy_m[1 - axis] == pytest.approx(across)
            assert low + 0.3 < door.position_xy_m[axis] - door.width_m / 2
            assert door.position_xy_m[axis] + door.width_m / 2 < high - 0.3

    @many
    @given(plans)
    def test_doors_are_as_wide_as_asked(self, plan: FloorPlan) -> None:
        assert all(DOOR_M[0] <= door.width_m <= DOOR_M[1] for door in plan.doors)

    @many
    @given(plans)
    def test_two_rooms_share_at_most_one_door(self, plan: FloorPlan) -> None:
        pairs = [door.rooms for door in plan.doors]
        assert len(set(pairs)) == len(pairs)

    @pytest.mark.parametrize("count", range(1, MAX_ROOMS + 1))
    def test_it_has_as_many_rooms_as_asked(self, count: int) -> None:
        assert len(plan_of(3, count).rooms) == count

    def test_the_same_chance_gives_the_same_plan(self) -> None:
        assert plan_of(11, 5) == plan_of(11, 5)

    def test_a_door_that_no_wall_is_long_enough_for_gives_no_plan(self) -> None:
        assert draw_floor_plan(np.random.default_rng(0), 2, (3.4, 3.5), (3.3, 3.4)) is None
