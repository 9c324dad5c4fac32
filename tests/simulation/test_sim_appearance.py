"""Looks drawn from a seed, or plain."""

from __future__ import annotations

from simulation.houses.appearance import Appearance, AppearanceOptions

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


class TestLights:
    def test_a_scene_is_neither_dark_nor_washed_out(self) -> None:
        for seed in SEEDS:
            appearance = Appearance(seed)
            total = appearance.ambient() + sum(light.strength for light in appearance.lights())
            assert 0.75 < total < 1.35


class TestPlain:
    def test_every_seed_looks_the_same(self) -> None:
        appearances = [Appearance(seed, PLAIN) for seed in (0, 1, 2)]
        for of in (
            lambda a: a.wall(0), lambda a: a.wall(3), lambda a: a.floor(1), lambda a: a.door_frame(),
            lambda a: a.lights(), lambda a: a.ambient(), lambda a: a.generator("mug_0").random(),
        ):  # fmt: skip
            assert len({of(a) for a in appearances}) == 1


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
