"""Being in a room."""

from __future__ import annotations

import numpy as np
from small_house import small_house

from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.navigation.costmap import DISC_M, FreeSpace
from simulation.navigation.goals import ROBOT_HEIGHT_M, cached_space
from simulation.navigation.rooms import INSIDE_M, cached_room_field, inside, is_inside, rooms_at, rooms_of

SEED = house_seed("val", 24)  # five rooms


def test_clearly_inside_is_away_from_the_outline() -> None:
    room = small_house().rooms[0]  # 6 x 5 m around the origin
    assert is_inside(room, 2.39, 1.89)
    assert not is_inside(room, 2.41, 0.0)
    assert not is_inside(room, 0.0, -1.91)
    assert not is_inside(room, 3.5, 0.0)


def test_the_robot_fits_where_it_is_inside() -> None:
    house = small_house()
    space = FreeSpace.around(house.obstacles, house.bounds, ROBOT_HEIGHT_M)
    cells = inside(space, house.rooms[0])
    assert space.clearance_m[cells].min() >= DISC_M
    assert np.abs(space.x_m[np.argwhere(cells)[:, 0]]).max() <= 3.0 - INSIDE_M
    assert not cells[space.cell(2.0, 0.0)]  # the table stands there


def test_the_way_leads_to_where_there_is_space_in_the_room() -> None:
    house, space = cached_house(SEED), cached_space(SEED)
    for index, room in enumerate(house.rooms):
        field = cached_room_field(SEED, (index,))
        goals = [space.point((int(i), int(j))) for i, j in np.argwhere(field.is_goal)]
        assert goals
        assert all(is_inside(room, *goal) and house.room_at(*goal) == index for goal in goals)
        assert space.clearance_m[field.is_goal].min() >= 0.5
    ways = [cached_room_field(SEED, (index,)).cost_m for index in (0, 1)]
    np.testing.assert_allclose(cached_room_field(SEED, (0, 1)).cost_m, np.minimum(*ways))


def test_rooms_by_kind_and_by_place() -> None:
    house = cached_house(SEED)
    kinds = [room.kind for room in house.rooms]
    assert rooms_of(house, kinds[0]) == tuple(i for i, kind in enumerate(kinds) if kind == kinds[0])
    middles = [tuple(room.polygon.mean(axis=0)) for room in house.rooms]
    assert rooms_at(house, middles) == frozenset(range(5))
    assert rooms_at(house, [*middles[1:2], middles[1], (99.0, 0.0)]) == {1}
