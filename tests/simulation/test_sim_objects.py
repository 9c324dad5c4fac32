"""Every object stands in its box, is made of few triangles, and looks like itself."""

from __future__ import annotations

import numpy as np
import pytest
from parts import reach_of, triangles_of

from simulation.errors import UnknownCategory
from simulation.houses.categories import CATEGORIES
from simulation.houses.objects import BUILDERS, build_object
from simulation.houses.objects.part import Paint, Part, Vector, ball, box, pick, rod, turn_x, turn_y
from simulation.houses.room_layout import draw_size
from simulation.houses.textures import TEXTURES

SEEDS = range(6)
OVERHANG_M = 0.11
"""How far a part may reach out of the object's box: the open lid of a toilet, the trigger of a spray bottle."""


def drawn(name: str, seed: int) -> tuple[Vector, tuple[Part, ...]]:
    """An object's size and parts."""
    rng = np.random.default_rng(seed)
    size = draw_size(rng, CATEGORIES[name].size_range_m)
    return size, build_object(name, size, rng)


def test_every_category_has_a_builder() -> None:
    assert set(BUILDERS) == set(CATEGORIES)


def test_an_unknown_category_is_an_error() -> None:
    with pytest.raises(UnknownCategory, match="object category: got 'teapot'"):
        build_object("teapot", (0.1, 0.1, 0.1), np.random.default_rng(0))


@pytest.mark.parametrize("name", CATEGORIES)
class TestEveryCategory:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_stays_in_its_box(self, name: str, seed: int) -> None:
        (depth, width, height), parts = drawn(name, seed)
        low, high = reach_of(parts)
        assert (low >= np.array([-depth / 2, -width / 2, 0.0]) - OVERHANG_M).all()
        assert (high <= np.array([depth / 2, width / 2, height]) + OVERHANG_M).all()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_stands_on_the_ground_and_reaches_its_height(self, name: str, seed: int) -> None:
        (_, _, height), parts = drawn(name, seed)
        low, high = reach_of(parts)
        assert -0.005 <= low[2] <= 0.065
        assert high[2] >= 0.97 * height

    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_is_made_of_few_triangles(self, name: str, seed: int) -> None:
        assert triangles_of(drawn(name, seed)[1]) <= 1000

    @pytest.mark.parametrize("seed", SEEDS)
    def test_its_colours_are_colours_and_its_textures_exist(self, name: str, seed: int) -> None:
        for part in drawn(name, seed)[1]:
            assert all(0.0 <= value <= 1.0 for value in part.paint.colour)
            assert part.paint.texture in ("", *TEXTURES)

    def test_the_same_chance_makes_the_same_object(self, name: str) -> None:
        (size, one), (_, two) = drawn(name, 4), drawn(name, 4)
        assert len(one) == len(two)
        assert [(p.kind, p.size_m, p.position_m, p.paint) for p in one] == [
            (p.kind, p.size_m, p.position_m, p.paint) for p in two
        ]
        assert all(extent > 0 for extent in size)

    def test_objects_differ_in_colour_or_form(self, name: str) -> None:
        paints = {tuple(part.paint for part in drawn(name, seed)[1]) for seed in range(12)}
        assert len(paints) >= 2


def colours(name: str, seeds: range = range(20)) -> np.ndarray:
    """Colour (n, 3) of the first part of several objects."""
    return np.array([drawn(name, seed)[1][0].paint.colour for seed in seeds])


class TestTypicalLooks:
    def test_apples_are_red_or_green(self) -> None:
        red, green, blue = colours("apple").T
        assert (np.maximum(red, green) > blue + 0.2).all()
        assert (red > green).any()
        assert (green > red).any()

    def test_basketballs_are_orange_with_seams(self) -> None:
        red, green, blue = colours("basketball").T
        assert ((red > green + 0.2) & (green > blue)).all()
        assert drawn("basketball", 0)[1][0].paint.texture == "basketball"

    def test_toilets_are_white(self) -> None:
        assert (colours("toilet") > 0.9).all()

    def test_house_plants_have_green_leaves(self) -> None:
        red, green, blue = np.array([drawn("house plant", seed)[1][-1].paint.colour for seed in range(20)]).T
        assert (green > np.maximum(red, blue) + 0.05).all()

    def test_televisions_have_a_dark_frame_and_a_screen(self) -> None:
        for seed in SEEDS:
            parts = drawn("television", seed)[1]
            assert max(parts[0].paint.colour) < 0.1
            assert any(part.paint.texture.startswith("screen") for part in parts)

    def test_laptops_have_a_keyboard_and_a_lit_screen(self) -> None:
        paints = [part.paint for part in drawn("laptop", 0)[1]]
        assert any(paint.texture == "keyboard" for paint in paints)
        assert any(paint.texture == "desktop" and paint.emission > 0.5 for paint in paints)

    def test_the_screen_of_a_laptop_leans_back_behind_its_keyboard(self) -> None:
        parts = {part.paint.texture: part for part in drawn("laptop", 0)[1]}
        assert parts["desktop"].position_m[0] < parts["keyboard"].position_m[0]
        assert parts["desktop"].position_m[2] > parts["keyboard"].position_m[2]

    def test_alarm_clocks_show_a_face_or_digits(self) -> None:
        shown = {p.paint.texture for seed in range(20) for p in drawn("alarm clock", seed)[1]} - {""}
        assert shown == {"clock face", "digits"}

    def test_sofas_have_two_cushions_or_three(self) -> None:
        narrow = build_object("sofa", (0.9, 1.5, 0.8), np.random.default_rng(0))
        wide = build_object("sofa", (0.9, 2.4, 0.8), np.random.default_rng(0))
        assert len(wide) - len(narrow) == 2

    def test_wide_beds_have_two_pillows(self) -> None:
        single = build_object("bed", (2.0, 1.0, 0.9), np.random.default_rng(0))
        double = build_object("bed", (2.0, 1.6, 0.9), np.random.default_rng(0))
        assert len(double) - len(single) == 1

    def test_bowls_are_wider_than_tall_and_vases_taller_than_wide(self) -> None:
        for seed in SEEDS:
            bowl, vase = drawn("bowl", seed)[0], drawn("vase", seed)[0]
            assert bowl[0] > 1.5 * bowl[2]
            assert vase[2] > 1.4 * vase[0]

    def test_mugs_have_a_handle_to_the_left(self) -> None:
        size, parts = drawn("mug", 0)
        _, high = reach_of(parts[:1])
        coffee = parts[1]
        assert high[1] == pytest.approx(size[1] / 2, abs=0.005)
        assert coffee.position_m[1] < 0

    def test_the_head_of_a_spray_bottle_points_to_the_front(self) -> None:
        parts = drawn("spray bottle", 0)[1]
        low, high = reach_of(parts[3:5])
        assert high[0] > abs(low[0])


class TestParts:
    def test_full_extents_become_half_extents(self) -> None:
        paint = Paint((1.0, 0.0, 0.0))
        assert box((2.0, 4.0, 6.0), (0.0, 0.0, 0.0), paint).size_m == (1.0, 2.0, 3.0)
        assert ball((2.0, 4.0, 6.0), (0.0, 0.0, 0.0), paint).size_m == (1.0, 2.0, 3.0)
        assert rod(0.5, 3.0, (0.0, 0.0, 0.0), paint).size_m == (0.5, 1.5)

    def test_turning_about_y_tips_the_front_down(self) -> None:
        low, high = reach_of([box((2.0, 0.0, 0.0), (0.0, 0.0, 0.0), Paint((1, 1, 1)), turn_y(np.pi / 2))])
        np.testing.assert_allclose((low, high), ((0, 0, -1), (0, 0, 1)), atol=1e-9)

    def test_turning_about_x_keeps_x(self) -> None:
        _, high = reach_of([box((2.0, 4.0, 0.0), (0.0, 0.0, 0.0), Paint((1, 1, 1)), turn_x(np.pi / 2))])
        np.testing.assert_allclose(high, (1, 0, 2), atol=1e-9)

    def test_a_picked_colour_is_near_one_of_the_palette(self) -> None:
        rng = np.random.default_rng(0)
        palette = ((0.0, 0.5, 1.0), (0.9, 0.1, 0.1))
        for _ in range(30):
            got = np.array(pick(rng, palette, 0.05))
            assert min(np.abs(got - colour).max() for colour in np.array(palette)) <= 0.05 + 1e-9
            assert ((got >= 0.02) & (got <= 1.0)).all()
