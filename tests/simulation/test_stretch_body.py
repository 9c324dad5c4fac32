"""The Stretch RE1's body: kinematics, masses, contacts and cameras against Hello Robot's own description."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from stretch_scene import stretch_scene

from simulation.robot_models.meshes import read_stl
from simulation.robot_models.stretch import (
    ARM_RANGE_M,
    BOXES,
    COLLISION_GROUP,
    FACES,
    LIFT_RANGE_M,
    StretchBody,
    StretchPose,
    _description,
    add_stretch,
    in_collision,
    set_pose,
)
from simulation.robot_models.stretch_cameras import CameraPose, StretchCameras

import mujoco  # isort: skip

FINGERTIPS = ("link_gripper_fingertip_left", "link_gripper_fingertip_right")


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return stretch_scene()


@pytest.fixture
def data(model: mujoco.MjModel) -> mujoco.MjData:
    return mujoco.MjData(model)


def place(model: mujoco.MjModel, data: mujoco.MjData, body: str, **pose: float) -> np.ndarray:
    set_pose(model, data, **pose)
    return data.body(body).xpos.copy()


def robot_only() -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    add_stretch(spec)
    return spec.compile()


def test_the_base_moves_on_the_floor_of_the_world(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    position = place(model, data, "base_link", x_m=1.2, y_m=-0.4, yaw_rad=math.pi / 2)
    np.testing.assert_allclose(position, [1.2, -0.4, 0.0], atol=1e-9)
    forward = data.body("base_link").xmat.reshape(3, 3)[:, 0]
    np.testing.assert_allclose(forward, [0, 1, 0], atol=1e-9)


def test_moving_then_turning_is_in_world_axes(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """x_m stays the world's x after a turn: the slides come before the hinge."""
    assert place(model, data, "base_link", x_m=1.0, yaw_rad=1.0)[:2] == pytest.approx([1.0, 0.0])


def test_the_arm_extends_to_the_right_by_its_whole_length(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    moved = place(model, data, "link_gripper", arm_m=0.4) - place(model, data, "link_gripper", arm_m=0.0)
    np.testing.assert_allclose(moved, [0, -0.4, 0], atol=1e-4)


def test_the_lift_goes_straight_up(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    moved = place(model, data, "link_gripper", lift_m=0.9) - place(model, data, "link_gripper", lift_m=0.2)
    np.testing.assert_allclose(moved, [0, 0, 0.7], atol=1e-4)


def test_the_full_reach_clears_the_base(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """0.87 m from the base's middle to the grasp centre at full extension: FLaRe's STRETCH reach is 0.86733 m."""
    centre = place(model, data, StretchBody.GRASP_CENTRE, arm_m=ARM_RANGE_M[1])
    assert math.hypot(*centre[:2]) == pytest.approx(0.867, abs=0.01)


def test_the_four_segments_share_the_extension() -> None:
    joints = StretchPose(arm_m=0.4).joints()
    assert [joints[name] for name in StretchBody.ARM_JOINTS] == pytest.approx([0.1] * 4)


def test_a_positive_gripper_angle_opens(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    gaps = []
    for angle in (-0.1, 0.0, 0.2, 0.4):
        set_pose(model, data, gripper_rad=angle)
        gaps.append(np.linalg.norm(data.body(FINGERTIPS[0]).xpos - data.body(FINGERTIPS[1]).xpos))
    assert gaps == sorted(gaps)
    assert gaps[3] - gaps[0] > 0.1


def test_a_positive_wrist_angle_is_counter_clockwise(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """stretch_body: zero points along the arm (to the right), +90 degrees forward."""
    set_pose(model, data, wrist_yaw_rad=math.pi / 2)
    offset = data.body(StretchBody.GRASP_CENTRE).xpos - data.body("link_wrist_yaw").xpos
    assert offset[0] > 0.15
    assert abs(offset[1]) < 0.02


def test_joint_ranges_are_those_of_the_description(model: mujoco.MjModel) -> None:
    ranges = {joint.name: joint.range for joint in _description()[1]}
    for name in (StretchBody.WRIST_YAW, StretchBody.HEAD_PAN, StretchBody.HEAD_TILT, StretchBody.LIFT):
        np.testing.assert_allclose(model.joint(name).range, ranges[name], atol=1e-6)
    assert tuple(model.joint(StretchBody.LIFT).range) == pytest.approx(LIFT_RANGE_M)
    assert sum(model.joint(name).range[1] for name in StretchBody.ARM_JOINTS) == pytest.approx(ARM_RANGE_M[1])


@pytest.mark.parametrize("degree", [True, False])
def test_a_scene_in_degrees_and_one_in_radians_hold_the_same_robot(degree: bool) -> None:
    spec = mujoco.MjSpec()
    spec.compiler.degree = degree
    add_stretch(spec)
    assert spec.compile().joint(StretchBody.WRIST_YAW).range == pytest.approx([-1.75, 4.0])


def test_every_joint_of_the_model_has_a_place_in_the_pose(model: mujoco.MjModel) -> None:
    assert {model.joint(i).name for i in range(model.njnt)} == set(StretchPose().joints())


def test_an_unknown_joint_is_refused(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    with pytest.raises(TypeError, match="elbow_rad"):
        set_pose(model, data, elbow_rad=1.0)


def test_masses_are_those_of_the_description() -> None:
    described_kg = sum(link.mass_kg for link in _description()[0].values())
    assert described_kg == pytest.approx(23.6, abs=1.0)
    assert robot_only().body_subtreemass[0] == pytest.approx(described_kg, rel=1e-6)


def test_inertias_are_physical() -> None:
    model = robot_only()
    moments = np.sort(model.body_inertia[model.body_mass > 0], axis=1)
    assert moments.min() > 0
    assert (moments[:, 2] <= moments[:, 0] + moments[:, 1]).all()


def test_it_stays_where_it_is_under_gravity(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    set_pose(model, data, lift_m=0.7, arm_m=0.2)
    before = data.qpos.copy()
    for _ in range(500):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos, before, atol=1e-3)
    assert not data.warning.number.any()


def test_a_pushed_arm_extends_all_its_segments(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    set_pose(model, data, lift_m=0.7)
    data.qfrc_applied[model.joint(StretchBody.ARM_JOINTS[0]).dofadr[0]] = 4.0
    for _ in range(500):
        mujoco.mj_step(model, data)
    extension = [data.joint(name).qpos[0] for name in StretchBody.ARM_JOINTS]
    assert extension[0] > 0.02
    assert max(extension) - min(extension) < 0.005


def test_collision_boxes_are_those_of_the_meshes() -> None:
    links = _description()[0]
    for name, corners in BOXES.items():
        if name == "base_link":
            continue
        (visual,) = links[name].visuals
        vertices_m = read_stl(visual.path).vertices_m
        np.testing.assert_allclose(np.array(corners), [vertices_m.min(0), vertices_m.max(0)], atol=0.0006, err_msg=name)


def test_the_base_box_holds_base_and_wheels() -> None:
    links, joints = _description()
    lower, upper = np.array(BOXES["base_link"])
    assert (read_stl(links["base_link"].visuals[0].path).vertices_m >= lower - 0.001).all()
    for joint in joints:
        if joint.child in ("link_left_wheel", "link_right_wheel"):
            wheel_m = read_stl(links[joint.child].visuals[0].path).vertices_m.astype(float)
            turned = wheel_m @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # roll of -90 degrees, as row vectors
            across = (turned + joint.position_m)[:, :2]
            assert (across >= lower[:2] - 0.001).all()
            assert (across <= upper[:2] + 0.001).all()


def test_only_primitives_collide_and_they_are_hidden(model: mujoco.MjModel) -> None:
    robot = [i for i in range(model.ngeom) if model.geom(i).name.startswith(StretchBody.GEOM_PREFIX)]
    collides = [i for i in robot if model.geom_contype[i] or model.geom_conaffinity[i]]
    assert len(collides) == len(BOXES) + 1
    assert all(model.geom_group[i] == COLLISION_GROUP for i in collides)
    assert all(model.geom_type[i] != mujoco.mjtGeom.mjGEOM_MESH for i in collides)


def test_it_never_touches_itself() -> None:
    model = robot_only()
    data = mujoco.MjData(model)
    for lift, arm, wrist, gripper in itertools.product(LIFT_RANGE_M, ARM_RANGE_M, (-1.75, 0.0, 4.0), (-0.5, 0.6)):
        set_pose(model, data, lift_m=lift, arm_m=arm, wrist_yaw_rad=wrist, gripper_rad=gripper)
        mujoco.mj_collision(model, data)
        assert data.ncon == 0


def test_contact_names_what_is_touched(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    front_m = BOXES["base_link"][1][0]
    set_pose(model, data, x_m=2.0 - front_m - 0.01)
    assert in_collision(model, data) is None
    set_pose(model, data, x_m=2.0 - front_m + 0.01)
    assert in_collision(model, data) == "wall"


def test_the_arm_touches_what_the_base_clears(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    set_pose(model, data, lift_m=0.9, arm_m=0.4)
    assert in_collision(model, data) is None
    set_pose(model, data, lift_m=0.28, arm_m=0.4)
    assert in_collision(model, data) in {"table", "ball"}


def test_the_floor_is_no_contact(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    set_pose(model, data, lift_m=0.0)
    assert data.body(StretchBody.GRASP_CENTRE).xpos[2] < 0.05
    assert in_collision(model, data) is None


def test_contact_follows_qpos_without_a_step(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    set_pose(model, data)
    data.qpos[model.joint("base_x").qposadr[0]] = 1.99
    assert in_collision(model, data) == "wall"


@pytest.mark.parametrize(("detail", "most"), [("low", 4000), ("high", 22000)])
def test_triangles_stay_within_the_budget(detail: str, most: int) -> None:
    spec = mujoco.MjSpec()
    add_stretch(spec, detail=detail)
    assert 1000 < spec.compile().nmeshface <= most


def test_low_and_high_have_the_same_joints_and_contacts() -> None:
    low, high = stretch_scene(detail="low"), stretch_scene(detail="high")
    assert [low.joint(i).name for i in range(low.njnt)] == [high.joint(i).name for i in range(high.njnt)]
    np.testing.assert_array_equal(np.sort(low.geom_contype), np.sort(high.geom_contype)[-low.ngeom :])


def test_an_unknown_detail_is_refused() -> None:
    with pytest.raises(ValueError, match="detail: got 'tiny'"):
        add_stretch(mujoco.MjSpec(), detail="tiny")
    assert set(FACES) == {"low", "high"}


@pytest.mark.parametrize(("name", "yaw_deg", "pitch_deg"), [("navigation", 0.0, 27.0), ("manipulation", -90.0, 33.0)])
def test_cameras_look_where_flare_says(
    model: mujoco.MjModel, data: mujoco.MjData, name: str, yaw_deg: float, pitch_deg: float
) -> None:
    set_pose(model, data, yaw_rad=0.5)
    camera = data.camera(name)
    looking = -camera.xmat.reshape(3, 3)[:, 2]
    assert math.degrees(math.asin(-looking[2])) == pytest.approx(pitch_deg)
    assert math.degrees(math.atan2(looking[1], looking[0]) - 0.5) == pytest.approx(yaw_deg)
    assert camera.xmat.reshape(3, 3)[2, 0] == pytest.approx(0.0)  # no roll
    assert 1.3 <= camera.xpos[2] <= 1.36
    assert model.camera(name).fovy[0] == pytest.approx(59.0)


def test_calibrations_spread_as_flare_says() -> None:
    """FLaRe calibrate_agent: pitch within 2 degrees in steps of 0.2, field of view within 1 degree in steps of 0.1."""
    rng = np.random.default_rng(0)
    drawn = [StretchCameras().randomised(rng, position_m=0.01) for _ in range(300)]
    for name, nominal in StretchCameras().items():
        poses: list[CameraPose] = [getattr(cameras, name) for cameras in drawn]
        pitch = np.array([pose.pitch_deg - nominal.pitch_deg for pose in poses])
        fovy = np.array([pose.fovy_deg - 59.0 for pose in poses])
        assert (pitch.min(), pitch.max()) == pytest.approx((-2, 2))
        assert (fovy.min(), fovy.max()) == pytest.approx((-1, 1))
        np.testing.assert_allclose(pitch * 5, np.round(pitch * 5), atol=1e-9)
        assert np.abs(np.subtract([pose.position_m for pose in poses], nominal.position_m)).max() <= 0.01


def test_a_calibration_is_the_same_for_the_same_seed() -> None:
    first, again, other = (StretchCameras().randomised(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_compiled_model_can_be_calibrated_again() -> None:
    cameras = StretchCameras().randomised(np.random.default_rng(3), position_m=0.02)
    built, changed = stretch_scene(cameras), stretch_scene()
    cameras.apply(changed)
    np.testing.assert_allclose(changed.cam_pos, built.cam_pos)
    np.testing.assert_allclose(changed.cam_quat, built.cam_quat)
    np.testing.assert_allclose(changed.cam_fovy, built.cam_fovy)
