"""A house as a MuJoCo scene: everything at its place, cheap to render, and recognisable in an image."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip

from small_house import MUG, OUTLINE, small_house

from simulation.houses.appearance import Appearance
from simulation.houses.categories import CATEGORIES
from simulation.houses.house import House, HouseObject, Room, generate_house
from simulation.houses.mujoco_scene import (
    COLLISION_GROUP,
    FLOOR_BIT,
    SOLID_BIT,
    VISIBLE_GROUP,
    house_spec,
)
from simulation.houses.room_layout import draw_size

Point = tuple[float, float, float]
SEEDS = (0, 4, 5, 20_000_000)


@cache
def house(seed: int) -> House:
    return generate_house(seed)


@cache
def model(seed: int) -> mujoco.MjModel:
    return house(seed).spec().compile()


def placed(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return data


class Photographer:
    """Takes images of a scene at 59 degrees, (224, 384)."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        model.vis.global_.fovy = 59
        self.renderer = mujoco.Renderer(model, 224, 384)

    def __enter__(self) -> Photographer:
        return self

    def __exit__(self, *_: object) -> None:
        self.renderer.close()

    def colours(self, eye: Point, look: Point) -> np.ndarray:
        """Colours (224, 384, 3) seen from `eye` towards `look`."""
        camera = mujoco.MjvCamera()
        ahead = np.array(look) - np.array(eye)
        camera.lookat, camera.distance = look, float(np.linalg.norm(ahead))
        camera.azimuth = float(np.degrees(np.arctan2(ahead[1], ahead[0])))
        camera.elevation = float(np.degrees(np.arctan2(ahead[2], np.hypot(*ahead[:2]))))
        self.renderer.update_scene(placed(self.model), camera=camera)
        return self.renderer.render().copy()

    def bodies(self, eye: Point, look: Point) -> np.ndarray:
        """Body (224, 384) seen in each pixel, -1 for none."""
        self.renderer.enable_segmentation_rendering()
        geoms = self.colours(eye, look)[..., 0]
        self.renderer.disable_segmentation_rendering()
        return np.where(geoms >= 0, self.model.geom_bodyid[geoms], -1)


def show(name: str, seed: int) -> tuple[mujoco.MjModel, HouseObject]:
    """A bare room with one object, turned a little, on a board at 0.75 m where it does not belong on the floor."""
    category = CATEGORIES[name]
    size = draw_size(np.random.default_rng(seed), category.size_range_m)
    z = 0.0 if category.is_on_floor else 0.75
    thing = HouseObject(f"{name.replace(' ', '_')}_0", name, (0.0, 0.0, z + size[2] / 2), 0.4, size, 0)
    room = Room("kitchen 0", "kitchen", OUTLINE.polygon())
    bare = House(seed, (room,), (), (thing,), (), (), (OUTLINE.x_min, OUTLINE.y_min, OUTLINE.x_max, OUTLINE.y_max))
    spec = house_spec(bare, Appearance(seed))
    if z:
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.4, 0.6, 0.02], pos=[0, 0, z - 0.02])
    return spec.compile(), thing


@pytest.mark.parametrize("seed", SEEDS)
class TestWhereThingsAre:
    def test_every_object_and_piece_of_furniture_is_a_body_in_its_place(self, seed: int) -> None:
        data = placed(model(seed))
        for thing in (*house(seed).objects, *house(seed).furniture):
            body = data.body(thing.name)
            np.testing.assert_allclose(body.xpos, thing.position_m, atol=1e-9)
            front = body.xmat.reshape(3, 3)[:, 0]
            np.testing.assert_allclose(front, (np.cos(thing.yaw_rad), np.sin(thing.yaw_rad), 0.0), atol=1e-9)

    def test_what_collides_is_exactly_what_a_planner_sees(self, seed: int) -> None:
        scene, data = model(seed), placed(model(seed))
        solid = {scene.geom(k).name: k for k in range(scene.ngeom) if scene.geom_contype[k] & SOLID_BIT}
        obstacles = {o.name if o.name.startswith("wall_") else f"{o.name}_box": o for o in house(seed).obstacles}
        assert set(solid) == set(obstacles)
        for name, k in solid.items():
            obstacle, half = obstacles[name], np.abs(data.geom_xmat[k].reshape(3, 3)) @ scene.geom_size[k]
            np.testing.assert_allclose(data.geom_xpos[k][:2], obstacle.centre_xy_m, atol=1e-9)
            assert data.geom_xpos[k][2] + half[2] == pytest.approx(obstacle.top_m)
            c, s = abs(np.cos(obstacle.yaw_rad)), abs(np.sin(obstacle.yaw_rad))
            u, v = obstacle.half_xy_m
            np.testing.assert_allclose(half[:2], (c * u + s * v, s * u + c * v), atol=1e-9)

    def test_nothing_moves_by_itself(self, seed: int) -> None:
        assert model(seed).nv == 0

    def test_floors_lie_at_zero_under_every_room(self, seed: int) -> None:
        scene = model(seed)
        for i, room in enumerate(house(seed).rooms):
            floor = scene.geom(f"floor_{i}")
            np.testing.assert_allclose(floor.pos[:2] - floor.size[:2], room.polygon.min(axis=0))
            np.testing.assert_allclose(floor.pos[:2] + floor.size[:2], room.polygon.max(axis=0))
            assert floor.pos[2] + floor.size[2] == pytest.approx(0.0)
            assert floor.contype == floor.conaffinity == FLOOR_BIT


@pytest.mark.parametrize("seed", SEEDS)
class TestLightness:
    def test_a_house_has_few_triangles(self, seed: int) -> None:
        scene = model(seed)
        primitives = {mujoco.mjtGeom.mjGEOM_BOX: 12, mujoco.mjtGeom.mjGEOM_CYLINDER: 64,
                      mujoco.mjtGeom.mjGEOM_SPHERE: 256, mujoco.mjtGeom.mjGEOM_ELLIPSOID: 256}  # fmt: skip
        total = 0
        for k in np.flatnonzero(scene.geom_group == VISIBLE_GROUP):
            mesh = scene.geom_dataid[k]
            is_mesh = scene.geom_type[k] == mujoco.mjtGeom.mjGEOM_MESH
            total += int(scene.mesh_facenum[mesh]) if is_mesh else primitives[mujoco.mjtGeom(scene.geom_type[k])]
        assert total < 8000

    def test_near_things_and_far_walls_are_drawn(self, seed: int) -> None:
        scene = model(seed)
        assert scene.vis.map.znear * scene.stat.extent == pytest.approx(0.02, rel=1e-4)
        assert scene.vis.map.zfar * scene.stat.extent == pytest.approx(40.0, rel=1e-4)


class TestContact:
    def test_visible_things_do_not_collide_and_hidden_boxes_do(self) -> None:
        scene = small_house().spec().compile()
        for k in range(scene.ngeom):
            if scene.geom_group[k] == COLLISION_GROUP:
                assert scene.geom_contype[k] == scene.geom_conaffinity[k] == SOLID_BIT
            elif not scene.geom(k).name.startswith(("wall_", "floor_")):
                assert scene.geom_contype[k] == scene.geom_conaffinity[k] == 0

    @pytest.mark.parametrize(
        ("at", "touched"),
        [
            ((2.0, 0.0), "table_0_box"), ((-1.0, -1.8), "wardrobe_0_box"), ((-2.5, -2.0), "basketball_0_box"),
            ((2.97, 2.0), "wall_"), ((0.0, 0.5), None),
        ],
    )  # fmt: skip
    def test_a_solid_disc_touches_what_stands_there(self, at: tuple[float, float], touched: str | None) -> None:
        spec = small_house().spec()
        disc = spec.worldbody.add_body(name="disc", pos=[*at, 0.15])
        disc.add_freejoint()
        disc.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.2, 0.1, 0.0], contype=SOLID_BIT, conaffinity=SOLID_BIT
        )
        scene = spec.compile()
        data = placed(scene)
        names = {scene.geom(g).name for contact in data.contact for g in contact.geom} - {""}
        assert (touched is None and not names) or any(name.startswith(str(touched)) for name in names)

    def test_a_small_object_on_a_table_is_no_obstacle(self) -> None:
        scene = small_house().spec().compile()
        body = scene.body(MUG.name)
        geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
        assert all(scene.geom_contype[k] == 0 for k in geoms)

    def test_an_object_can_be_moved_on_the_compiled_model(self) -> None:
        scene = small_house().spec().compile()
        before = placed(scene).geom_xpos[scene.body(MUG.name).geomadr[0]].copy()
        scene.body(MUG.name).pos += (0.1, -0.2, 0.3)
        after = placed(scene).geom_xpos[scene.body(MUG.name).geomadr[0]]
        np.testing.assert_allclose(after - before, (0.1, -0.2, 0.3), atol=1e-9)


class TestLooks:
    def test_another_appearance_changes_colours_and_nothing_that_collides(self) -> None:
        one, two = small_house().spec(Appearance(1)).compile(), small_house().spec(Appearance(2)).compile()
        assert not np.array_equal(one.mat_rgba[:5], two.mat_rgba[:5])
        solid_one, solid_two = (m.geom_size[m.geom_contype == SOLID_BIT] for m in (one, two))
        np.testing.assert_array_equal(solid_one, solid_two)

    @pytest.mark.parametrize("seed", [0, 20_000_000])
    def test_a_room_is_neither_black_nor_white(self, seed: int) -> None:
        room = house(seed).rooms[0].polygon
        x, y = room.mean(axis=0)
        with Photographer(model(seed)) as photographer:
            for look in room:
                image = photographer.colours((x, y, 1.3), (0.5 * (x + look[0]), 0.5 * (y + look[1]), 0.6))
                assert 35 < image.mean() < 235
                assert image.std() > 8


@pytest.mark.parametrize("name", CATEGORIES)
def test_an_object_is_large_enough_in_the_image_and_stands_out(name: str) -> None:
    scene, thing = show(name, 1)
    eye = (1.2 + thing.size_m[0] / 2, 0.0, 1.3)
    with Photographer(scene) as photographer:
        seen = photographer.bodies(eye, thing.position_m) == scene.body(thing.name).id
        with_it = photographer.colours(eye, thing.position_m).astype(float)
        scene.body(thing.name).pos += (0.0, 0.0, 50.0)
        without_it = photographer.colours(eye, thing.position_m).astype(float)
    assert seen.sum() > 150
    changed = np.abs(with_it - without_it).max(axis=-1) > 25
    assert changed.sum() > 0.5 * seen.sum()
