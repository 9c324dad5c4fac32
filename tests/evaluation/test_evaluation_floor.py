"""Floors: a real house as data, and as SVG."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from episodes import FLOOR

from evaluation.reporting.floor_svg import floor_svg, path_svg, view_box
from evaluation.stages.floor_map import Box, FloorMap
from simulation.houses.house import generate_house
from simulation.houses.seeds import house_seed

HOUSE = generate_house(house_seed("test", 0))


def test_a_house_comes_with_its_rooms_walls_furniture_and_targets() -> None:
    target = HOUSE.categories[0]
    floor = FloorMap.of_house(HOUSE, target)
    kinds = [box.kind for box in floor.boxes]
    assert len(floor.rooms) == len(HOUSE.rooms)
    assert kinds.count("wall") == len(HOUSE.walls)
    assert kinds.count("furniture") == len(HOUSE.furniture)
    assert kinds.count("target") == len(HOUSE.objects_of(target))
    assert kinds.count("object") == len(HOUSE.objects) - len(HOUSE.objects_of(target))
    assert floor.bounds == pytest.approx(HOUSE.bounds, abs=0.005)


def test_every_box_of_a_house_lies_inside_it() -> None:
    x_min, y_min, x_max, y_max = HOUSE.bounds
    for box in FloorMap.of_house(HOUSE, "").boxes:
        for x, y in box.corners:
            assert x_min - 0.2 <= x <= x_max + 0.2
            assert y_min - 0.2 <= y <= y_max + 0.2


@pytest.mark.parametrize(
    ("yaw", "first"),
    [(0.0, (3.0, 2.5)), (math.pi / 2, (0.5, 4.0)), (math.pi, (-1.0, 1.5)), (math.pi / 4, (2.06, 3.77))],
)
def test_the_corners_of_a_box_turn_counter_clockwise(yaw: float, first: tuple[float, float]) -> None:
    corners = Box("object", "a", 1.0, 2.0, 2.0, 0.5, yaw).corners
    assert corners[0] == pytest.approx(first, abs=0.01)
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, (*corners[1:], corners[0]))) / 2
    assert area == pytest.approx(4.0)


def test_a_home_without_a_map_has_a_floor_around_the_path() -> None:
    assert FloorMap.around([(0.0, 1.0), (2.0, -1.0)]).bounds == (-0.5, -1.5, 2.5, 1.5)
    assert FloorMap.around([]).bounds == (-0.5, -0.5, 0.5, 0.5)


def elements(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<svg>{svg}</svg>"))


def test_the_svg_has_an_element_for_each_thing_and_the_target_above_the_furniture() -> None:
    classes = [one.get("class") for one in elements(floor_svg(FLOOR))]
    assert classes == ["room", "furniture", "object", "target", "wall"]


def test_things_say_what_they_are_when_pointed_at() -> None:
    titles = [one.findtext("title") for one in elements(floor_svg(FLOOR))]
    assert titles == [None, "side table", "mug", "sofa", None]


def test_names_cannot_break_the_page() -> None:
    svg = floor_svg(FloorMap(FLOOR.bounds, boxes=(Box("object", "<script>&_0", 0, 0, 1, 1, 0),)))
    assert "<script>" not in svg
    assert elements(svg)[0].findtext("title") == "<script>&"


def test_y_points_up_and_centimetres_are_units() -> None:
    assert view_box(FLOOR) == "-10 -310 420 320"
    room = elements(floor_svg(FLOOR))[0].get("points")
    assert room == "0,0 400,0 400,-300 0,-300"


def test_a_path_is_a_line_from_a_ring_to_a_dot_of_the_outcome() -> None:
    line, ring, dot = elements(path_svg([(0.5, 0.5), (1.0, 2.0)], "success"))
    assert line.get("points") == "50,-50 100,-200"
    assert (ring.get("cx"), ring.get("cy")) == ("50", "-50")
    assert (dot.get("class"), dot.get("cx"), dot.get("cy")) == ("end success", "100", "-200")


def test_no_path_draws_nothing() -> None:
    assert path_svg([], "failure") == ""


def test_a_real_house_is_well_formed_svg_of_moderate_size() -> None:
    svg = floor_svg(FloorMap.of_house(HOUSE, HOUSE.categories[0]))
    assert len(elements(svg)) > 10
    assert len(svg) < 40_000
    assert not re.search(r"nan|inf", svg)
