"""Looks drawn from a seed, or plain."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.houses.appearance import Appearance, AppearanceOptions
from simulation.houses.textures import FLOOR_TEXTURES, WALL_TEXTURES

PLAIN = AppearanceOptions(lights=False, textures=False, materials=False)
SEEDS = range(30)


def test_the_same_seed_gives_the_same_looks() -> None:
    one, two = Appearance(7), Appearance(7)
    assert [one.wall(k) for k in range(6)] == [two.wall(k) for k in range(6)]
    assert one.lights() == two.lights()
    assert one.generator("mug_0").random() == two.generator("mug_0").random()


def test_asking_twice_or_in_another_order_changes_nothing() -> None:
    appearance = Appearance(3)
    first = (appearance.wall(0), appearance.floor(0), appearance.ambient())
    assert (appearance.ambient(), appearance.floor(0), appearance.wall(0)) == first[::-1]


def test_rooms_differ_and_seeds_differ() -> None:
    assert len({Appearance(1).wall(room) for room in range(6)}) > 3
    assert len({Appearance(seed).wall(0) for seed in SEEDS}) > 20


def test_every_wall_and_floor_texture_comes_up() -> None:
    assert {Appearance(seed).wall(room).texture for seed in SEEDS for room in range(3)} == set(WALL_TEXTURES)
    assert {Appearance(seed).floor(room).texture for seed in SEEDS for room in range(3)} == set(FLOOR_TEXTURES)


def test_bricks_are_not_painted_in_wall_colours() -> None:
    bricks = [paint for seed in range(60) if (paint := Appearance(seed).wall(0)).texture == "brick"]
    assert bricks
    assert all(paint.colour[0] >= paint.colour[2] - 0.12 for paint in bricks)


def test_some_rooms_have_a_rug_that_fits() -> None:
    rugs = [Appearance(seed).rug(0) for seed in SEEDS]
    assert 5 < sum(rug is not None for rug in rugs) < 25
    assert all(0.2 < share < 0.6 for rug in rugs if rug is not None for share in rug[1:])


class TestLights:
    @pytest.mark.parametrize("options", [AppearanceOptions(), PLAIN], ids=["drawn", "plain"])
    def test_they_shine_down_with_unit_directions(self, options: AppearanceOptions) -> None:
        for seed in SEEDS:
            for light in Appearance(seed, options).lights():
                assert np.linalg.norm(light.direction) == pytest.approx(1.0, abs=0.02)
                assert light.direction[2] < -0.5

    def test_a_scene_is_neither_dark_nor_washed_out(self) -> None:
        for seed in SEEDS:
            appearance = Appearance(seed)
            total = appearance.ambient() + sum(light.strength for light in appearance.lights())
            assert 0.75 < total < 1.35

    def test_there_are_one_to_three(self) -> None:
        assert {len(Appearance(seed).lights()) for seed in SEEDS} == {1, 2, 3}


class TestPlain:
    def test_every_seed_looks_the_same(self) -> None:
        appearances = [Appearance(seed, PLAIN) for seed in (0, 1, 2)]
        for of in (
            lambda a: a.wall(0), lambda a: a.wall(3), lambda a: a.floor(1), lambda a: a.door_frame(),
            lambda a: a.lights(), lambda a: a.ambient(), lambda a: a.generator("mug_0").random(),
        ):  # fmt: skip
            assert len({of(a) for a in appearances}) == 1

    def test_all_things_of_a_kind_are_the_same(self) -> None:
        appearance = Appearance(0, PLAIN)
        assert appearance.generator("mug_0").random() == appearance.generator("mug_1").random()
        assert appearance.generator("mug_0").random() != appearance.generator("vase_0").random()

    def test_there_is_no_rug(self) -> None:
        assert all(Appearance(seed, PLAIN).rug(0) is None for seed in SEEDS)


class TestOneAtATime:
    def test_textures_alone_leave_colours_plain(self) -> None:
        options = AppearanceOptions(lights=False, textures=True, materials=False)
        paints = [Appearance(seed, options).wall(0) for seed in SEEDS]
        assert len({paint.colour for paint in paints}) == 1
        assert len({paint.texture for paint in paints}) > 3

    def test_materials_alone_leave_walls_without_pattern(self) -> None:
        options = AppearanceOptions(lights=False, textures=False, materials=True)
        paints = [Appearance(seed, options).wall(0) for seed in SEEDS]
        assert {paint.texture for paint in paints} == {""}
        assert len({paint.colour for paint in paints}) > 20

    def test_lights_alone_leave_paint_plain(self) -> None:
        options = AppearanceOptions(lights=True, textures=False, materials=False)
        assert Appearance(1, options).wall(0) == Appearance(2, PLAIN).wall(0)
        assert Appearance(1, options).lights() != Appearance(2, options).lights()
