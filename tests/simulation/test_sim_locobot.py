"""The LoCoBot's model: true measures, joints that turn the camera, no contact with itself."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from robots.embodiments.locobot import CAMERA_FORWARD_M, CAMERA_HEIGHT_M, LENS_FOV_DEG, PAN, TILT
from simulation.robot_models.body import BASE_JOINTS, COLLISION_GROUP, touched
from simulation.robot_models.locobot import CAMERA, FOOTPRINT_M, LOCOBOT_EYE, PREFIX, Locobot


def compiled(body: Locobot | None = None, wall_m: float | None = None) -> tuple[mujoco.MjModel, mujoco.MjData]:
    scene = mujoco.MjSpec()
    scene.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1])
    if wall_m is not None:
        scene.worldbody.add_geom(
            name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[wall_m + 0.5, 0, 0.5], size=[0.5, 2, 0.5]
        )
    (body or Locobot()).add_to(scene)
    model = scene.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    return model, data


def place(model: mujoco.MjModel, data: mujoco.MjData, **joints: float) -> None:
    for name, value in joints.items():
        data.qpos[model.jnt_qposadr[model.joint(name).id]] = value
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


def direction(data: mujoco.MjData) -> np.ndarray:
    """Where the camera looks."""
    return -data.cam_xmat[0].reshape(3, 3)[:, 2]


def test_its_joints_are_those_of_the_table_on_a_planar_base() -> None:
    model, _ = compiled()
    assert [model.joint(i).name for i in range(model.njnt)] == [*BASE_JOINTS, PAN, TILT]
    assert Locobot().positions({PAN: 0.1, TILT: 0.2, "other": 1.0}) == {PAN: 0.1, TILT: 0.2}


def test_the_camera_is_where_the_vendors_description_puts_it() -> None:
    model, data = compiled()
    assert data.cam_xpos[model.camera(CAMERA).id] == pytest.approx((CAMERA_FORWARD_M, 0.0, CAMERA_HEIGHT_M), abs=1e-3)
    assert direction(data) == pytest.approx((1.0, 0.0, 0.0), abs=1e-9)
    assert (LOCOBOT_EYE.height_m, LOCOBOT_EYE.fov_deg, LOCOBOT_EYE.pitch_deg) == (CAMERA_HEIGHT_M, LENS_FOV_DEG[1], 0.0)


def test_tilt_counts_upwards_and_pan_counter_clockwise() -> None:
    model, data = compiled()
    place(model, data, **{TILT: math.radians(30)})
    assert direction(data) == pytest.approx((math.cos(math.radians(30)), 0.0, 0.5))
    place(model, data, **{TILT: 0.0, PAN: math.radians(90)})
    assert direction(data) == pytest.approx((0.0, 1.0, 0.0), abs=1e-9)


def test_it_is_as_large_as_a_kobuki_with_a_tower() -> None:
    model, data = compiled()
    solid = [i for i in range(model.ngeom) if model.geom_group[i] == COLLISION_GROUP]
    top = max(data.geom_xpos[i][2] + abs(data.geom_xmat[i].reshape(3, 3)[2]) @ half(model, i) for i in solid)
    assert top == pytest.approx(0.649, abs=0.002)
    assert FOOTPRINT_M == 0.178
    assert {model.geom(i).name.split("_")[0] for i in solid} == {PREFIX.rstrip("_")}


def half(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Half extents of a geom along its own axes."""
    size = model.geom_size[geom]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
        return size
    round_ends = size[0] if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
    return np.array([size[0], size[0], size[1] + round_ends])


@pytest.mark.parametrize("yaw", [math.radians(90), math.radians(180), math.radians(-90)])
def test_its_round_side_touches_at_its_radius(yaw: float) -> None:
    for wall_m, expected in ((FOOTPRINT_M + 0.004, None), (FOOTPRINT_M - 0.004, "wall")):
        model, data = compiled(wall_m=wall_m)
        place(model, data, base_yaw=yaw)
        assert touched(model, data, PREFIX) == expected


def test_its_folded_hand_is_the_foremost_part() -> None:
    model, data = compiled(wall_m=0.23)
    assert touched(model, data, PREFIX) == "wall"
    model, data = compiled(wall_m=0.24)
    assert touched(model, data, PREFIX) is None


def test_no_pose_of_its_head_touches_itself_or_the_floor() -> None:
    model, data = compiled()
    for pan in (-1.57, 0.0, 1.57):
        for tilt in (-1.3, 0.0, 1.4):
            place(model, data, **{PAN: pan, TILT: tilt})
            assert touched(model, data, PREFIX) is None


def test_another_calibration_stays_within_flares_spread() -> None:
    rng = np.random.default_rng(0)
    drawn = [Locobot().randomised(rng, position_m=0.02) for _ in range(200)]
    assert max(abs(one.pitch_deg) for one in drawn) == pytest.approx(2.0)
    lenses = np.array([one.lens_fov_deg for one in drawn])
    assert np.abs(lenses[:, 1] - LENS_FOV_DEG[1]).max() == pytest.approx(1.0)
    assert lenses[:, 0] / lenses[:, 1] == pytest.approx(LENS_FOV_DEG[0] / LENS_FOV_DEG[1])
    offsets = np.array([one.offset_m for one in drawn])
    assert 0.015 < np.abs(offsets).max() <= 0.02
    _, data = compiled(Locobot(pitch_deg=2.0))
    assert direction(data)[2] == pytest.approx(-math.sin(math.radians(2.0)))


def test_the_lens_is_narrower_than_the_image() -> None:
    across, up = Locobot().lens
    assert (math.degrees(2 * math.atan(across)), math.degrees(2 * math.atan(up))) == pytest.approx(LENS_FOV_DEG)
