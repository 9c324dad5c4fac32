"""The clearance grid and the geodesic fields over it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.houses.clearance import Obstacle
from simulation.houses.house import generate_house
from simulation.navigation.costmap import CAP_M, CELL_M, DISC_M, TIGHT_M, Field, FreeSpace

BOUNDS = (0.0, 0.0, 6.0, 4.0)


def box(x: float, y: float, half_x: float, half_y: float, yaw: float = 0.0, bottom: float = 0.0) -> Obstacle:
    return Obstacle("box", (x, y), (half_x, half_y), yaw, bottom, bottom + 1.0)


def room(*obstacles: Obstacle) -> FreeSpace:
    """A room of 6 x 4 m with walls 0.1 m thick."""
    walls = (box(3, 0, 3, 0.1), box(3, 4, 3, 0.1), box(0, 2, 0.1, 2), box(6, 2, 0.1, 2))
    return FreeSpace.around((*walls, *obstacles), BOUNDS, height_m=1.4)


def field_to(space: FreeSpace, x: float, y: float) -> Field:
    goals = np.full(space.clearance_m.shape, np.inf)
    goals[space.cell(x, y)] = 0.0
    return space.field(goals)


def test_cells_and_points_belong_together() -> None:
    space = room()
    assert space.clearance_m.shape == (60, 40)
    assert space.cell(0.05, 0.05) == (0, 0)
    assert space.point((0, 0)) == pytest.approx((0.05, 0.05))
    assert space.cell(-5.0, 99.0) == (0, 39)


def test_clearance_is_the_distance_to_the_nearest_box() -> None:
    space = room(box(3, 2, 0.5, 0.25))
    assert space.clearance_at(3.0, 2.75) == pytest.approx(0.5, abs=0.02)
    assert space.clearance_at(0.6, 2.0) == pytest.approx(0.5, abs=0.02)
    assert space.clearance_at(3.0, 2.0) < 0.0


def test_clearance_is_capped() -> None:
    assert room().clearance_m.max() == CAP_M


def test_what_hangs_above_the_robot_is_no_obstacle() -> None:
    assert room(box(3, 2, 0.5, 0.5, bottom=1.5)).clearance_at(3.0, 2.0) == CAP_M
    assert room(box(3, 2, 0.5, 0.5, bottom=1.3)).clearance_at(3.0, 2.0) < 0.0


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(0.3, 5.7),
    y=st.floats(0.3, 3.7),
    yaw=st.floats(-3.0, 3.0),
    half=st.floats(0.1, 0.6),
    away=st.floats(0, 6),
)
def test_clearance_agrees_with_the_exact_distance(x: float, y: float, yaw: float, half: float, away: float) -> None:
    obstacle = box(3, 2, half, 0.3, yaw)
    space = FreeSpace.around([obstacle], BOUNDS, 1.4)
    exact = min(CAP_M, float(obstacle.distance_m(np.array(x), np.array(y))))
    assert space.clearance_at(x, y) == pytest.approx(exact, abs=0.6 * CELL_M)
    # no point can be more open than a neighbour by more than the way between them
    other = x + away / 100, y
    assert abs(space.clearance_at(*other) - space.clearance_at(x, y)) <= away / 100 + 0.05


def test_least_clearance_sees_a_box_between_two_free_points() -> None:
    space = room(box(3, 2, 0.2, 0.2))
    assert space.least_clearance((1.5, 2.0), (4.5, 2.0)) < 0.0
    assert space.least_clearance((1.5, 3.2), (4.5, 3.2)) > 0.5


def test_cost_in_the_open_is_the_distance() -> None:
    field = field_to(FreeSpace.around([], BOUNDS, 1.4), 1.0, 2.0)
    assert field.cost_at(4.0, 2.0) == pytest.approx(3.0, abs=0.1)
    assert field.cost_at(3.0, 3.95) == pytest.approx(2 * math.sqrt(2), abs=0.15)


def test_a_way_round_costs_more_than_the_straight_line() -> None:
    wall = box(3, 1.5, 0.1, 1.5)
    around = field_to(room(wall), 1.0, 0.8).cost_at(5.0, 0.8)
    assert around > 2 * math.dist((1.0, 0.8), (3.0, 3.1))


def test_there_is_no_way_through_a_wall() -> None:
    field = field_to(room(box(3, 2, 0.1, 2)), 1.0, 2.0)
    assert field.cost_at(5.0, 2.0) == math.inf
    assert field.entry(5.0, 2.0) is None


def test_a_field_without_goals_leads_nowhere() -> None:
    space = room()
    field = space.field(np.full(space.clearance_m.shape, np.inf))
    assert not np.isfinite(field.cost_m).any()


def test_the_descent_ends_in_the_goal_and_keeps_its_distance() -> None:
    space = room(box(3, 1.5, 0.1, 1.5))
    field = field_to(space, 1.0, 0.8)
    cells = field.descent(space.cell(5.0, 0.8), 200)
    costs = [float(field.cost_m[cell]) for cell in cells]
    assert costs == sorted(costs, reverse=True)
    assert field.is_goal[cells[-1]]
    assert min(space.clearance_m[cell] for cell in cells) >= DISC_M


def test_the_descent_stops_after_so_many_cells() -> None:
    space = room()
    assert len(field_to(space, 1.0, 2.0).descent(space.cell(5.0, 2.0), 7)) == 7


def test_a_wide_gap_is_preferred_to_a_tight_one() -> None:
    # two gaps in a wall at x = 3: 0.6 m wide on the straight way (too tight for the disc), 1.2 m wide above
    space = room(box(3, 0.35, 0.1, 0.35), box(3, 1.95, 0.1, 0.65))
    field = field_to(space, 1.0, 1.0)
    assert space.clearance_at(3.0, 1.0) > TIGHT_M
    crossing = [space.point(cell)[1] for cell in field.descent(space.cell(5.0, 1.0), 200)]
    assert max(crossing) > 2.6


def test_a_tight_gap_is_taken_when_there_is_no_other() -> None:
    space = room(box(3, 0.35, 0.1, 0.35), box(3, 2.65, 0.1, 1.35))
    field = field_to(space, 1.0, 1.0)
    assert 10 < field.cost_at(5.0, 1.0) < math.inf
    assert space.parts[space.cell(1.0, 1.0)] != space.parts[space.cell(5.0, 1.0)]


def test_a_goal_may_cost_something_to_end_in() -> None:
    space = room()
    goals = np.full(space.clearance_m.shape, np.inf)
    near, far = space.cell(2.0, 2.0), space.cell(1.0, 2.0)
    goals[near], goals[far] = 3.0, 0.0
    field = space.field(goals)
    assert field.cost_m[near] == pytest.approx(1.0, abs=0.01)  # going on is cheaper than ending here
    assert field.cost_m[far] == pytest.approx(0.0, abs=0.01)


def test_beside_a_wall_the_way_begins_at_the_nearest_cell_that_has_one() -> None:
    space = room()
    field = field_to(space, 3.0, 2.0)
    assert field.cost_at(3.0, 0.2) == math.inf
    entry = field.entry(3.0, 0.2)
    assert entry is not None
    assert math.dist(space.point(entry), (3.0, 0.2)) < 0.4
    assert np.isfinite(field.cost_m[entry])
    assert field.entry(3.0, 2.0) == space.cell(3.0, 2.0)


def test_every_door_of_a_generated_house_can_be_driven_through() -> None:
    for seed in range(6):
        house = generate_house(seed)
        space = FreeSpace.around(house.obstacles, house.bounds, 1.42)
        for door in house.doors:
            assert space.clearance_at(*door.position_xy_m) >= DISC_M
