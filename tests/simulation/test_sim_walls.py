"""Walls with gaps for doors."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.houses.floor_plan import WALL_THICKNESS_M, Door, FloorPlan, Rectangle
from simulation.houses.walls import Wall, walls_of

HALF = WALL_THICKNESS_M / 2
LEFT, RIGHT = Rectangle(0.0, 0.0, 4.0, 3.5), Rectangle(4.0, 0.0, 8.0, 3.5)
PLAN = FloorPlan((LEFT, RIGHT), (Door((4.0, 1.5), 1.2, (0, 1), 1),))


def covered(walls: tuple[Wall, ...], x: float, y: float) -> bool:
    """Whether a point lies in some wall."""
    return any(
        wall.outline.x_min <= x <= wall.outline.x_max and wall.outline.y_min <= y <= wall.outline.y_max
        for wall in walls
    )


@pytest.mark.parametrize("y", np.linspace(0.92, 2.08, 7))
def test_the_opening_of_a_door_is_open(y: float) -> None:
    assert not covered(walls_of(PLAN), 4.0, y)


@pytest.mark.parametrize("y", [0.3, 0.88, 2.12, 3.2])
def test_beside_the_opening_there_is_wall(y: float) -> None:
    assert covered(walls_of(PLAN), 4.0, y)


@pytest.mark.parametrize(("x", "y"), [(0.03, 2.0), (2.0, 0.03), (2.0, 3.47), (7.97, 2.0), (6.0, 0.03)])
def test_the_outside_is_closed(x: float, y: float) -> None:
    assert covered(walls_of(PLAN), x, y)


def test_no_wall_stands_in_the_open_floor() -> None:
    inside = LEFT.shrunk(HALF + 0.01)
    assert all(wall.outline.gap(inside) > 0 for wall in walls_of(PLAN))


def test_a_wall_as_an_obstacle_stands_on_the_floor() -> None:
    obstacle = walls_of(FloorPlan((LEFT,), ()))[0].obstacle("wall_0", 2.4)
    assert (obstacle.bottom_m, obstacle.top_m, obstacle.yaw_rad) == (0.0, 2.4, 0.0)
    assert obstacle.centre_xy_m == pytest.approx((2.0, HALF / 2))
    assert obstacle.half_xy_m == pytest.approx((2.0, HALF / 2))
