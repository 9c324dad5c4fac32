"""Solid boxes and the free cells of a disc among them."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.houses.clearance import Obstacle, clearance_grid
from simulation.houses.floor_plan import Rectangle

ROOM = Rectangle(0.0, 0.0, 4.0, 4.0)


def block(x: float, y: float, width: float = 0.5, depth: float = 0.5, yaw: float = 0.0) -> Obstacle:
    return Obstacle("block", (x, y), (width / 2, depth / 2), yaw, 0.0, 1.0)


class TestObstacle:
    @pytest.mark.parametrize(
        ("x", "y", "distance"),
        [(2.0, 0.0, 1.0), (0.0, 2.0, 1.5), (4.0, 4.5, 5.0), (0.0, 0.0, -0.5), (0.9, 0.0, -0.1), (1.0, 0.2, 0.0)],
        ids=["beside", "above", "diagonal", "middle", "inside", "edge"],
    )
    def test_distance_to_an_upright_box(self, x: float, y: float, distance: float) -> None:
        assert block(0.0, 0.0, 2.0, 1.0).distance_m(np.array(x), np.array(y)) == pytest.approx(distance)

    def test_a_quarter_turn_swaps_its_sides(self) -> None:
        turned, wide = block(1.0, 2.0, 2.0, 1.0, np.pi / 2), block(1.0, 2.0, 1.0, 2.0)
        points = np.random.default_rng(0).uniform(-2, 5, (2, 50))
        np.testing.assert_allclose(turned.distance_m(*points), wide.distance_m(*points), atol=1e-12)

    def test_it_turns_counter_clockwise(self) -> None:
        long = block(0.0, 0.0, 4.0, 0.2, np.pi / 4)
        assert long.distance_m(np.array(1.0), np.array(1.0)) < 0
        assert long.distance_m(np.array(1.0), np.array(-1.0)) > 1

    def test_points_broadcast(self) -> None:
        assert block(0.0, 0.0).distance_m(np.zeros((1, 3)), np.zeros((2, 1))).shape == (2, 3)


class TestClearanceGrid:
    def test_an_empty_room_is_free_to_its_outline(self) -> None:
        grid = clearance_grid([ROOM], ROOM, [], 0.3)
        assert grid.free.shape == (40, 40)
        assert grid.free.all()

    def test_a_wall_keeps_a_disc_off_by_its_radius(self) -> None:
        wall = block(2.0, 0.05, 4.0, 0.1)
        grid = clearance_grid([ROOM], ROOM, [wall], 0.3)
        rows = grid.y_m[grid.free.any(axis=1)]
        assert rows.min() == pytest.approx(0.45)
        distance = wall.distance_m(grid.x_m[None, :], grid.y_m[:, None])
        assert (grid.free == (distance >= 0.3)).all()

    def test_a_turned_box_blocks_all_within_the_radius(self) -> None:
        turned = block(2.0, 2.0, 1.5, 0.3, 0.7)
        grid = clearance_grid([ROOM], ROOM, [turned], 0.33)
        distance = turned.distance_m(grid.x_m[None, :], grid.y_m[:, None])
        assert (grid.free == (distance >= 0.33)).all()

    def test_outside_of_the_rooms_nothing_is_free(self) -> None:
        grid = clearance_grid([ROOM], ROOM.shrunk(-1.0), [], 0.3)
        inside = (grid.x_m > 0) & (grid.x_m < 4)
        assert grid.free[:, ~inside].sum() == 0

    def test_only_the_largest_connected_floor_counts(self) -> None:
        fence = block(1.0, 2.0, 0.1, 4.0)
        grid = clearance_grid([ROOM], ROOM, [fence], 0.3)
        assert not grid.has(0.3, 2.0)
        assert grid.has(3.0, 2.0)

    def test_a_gap_narrower_than_the_disc_closes_the_passage(self) -> None:
        fence = [block(1.2, 0.9, 0.1, 1.8), block(1.2, 3.2, 0.1, 1.6)]
        assert not clearance_grid([ROOM], ROOM, fence, 0.33).has(0.5, 0.5)
        assert clearance_grid([ROOM], ROOM, fence, 0.12).has(0.5, 0.5)

    def test_the_distance_to_the_nearest_free_cell(self) -> None:
        box = block(2.0, 2.0)
        grid = clearance_grid([ROOM], ROOM, [box], 0.33)
        assert grid.nearest_m(box, 1.0) == pytest.approx(0.35, abs=0.06)

    def test_something_far_from_any_free_cell_is_infinitely_far(self) -> None:
        cage = block(2.0, 2.0, 3.0, 3.0)
        grid = clearance_grid([ROOM], ROOM, [cage], 0.3)
        assert grid.nearest_m(block(2.0, 2.0, 0.1, 0.1), 1.0) == float("inf")
