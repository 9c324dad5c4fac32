"""The Piper's table and chain: against the vendor's SDK where it is installed."""

import itertools

import numpy as np
import pytest

from robots.arms.kinematics import Kinematics, Unreachable, rotation_of, rotation_vector
from robots.embodiment import Embodiment
from robots.embodiments.piper import HOME_RAD, JOINTS, PIPER, PIPER_URDF, RANGES_RAD, TOP_SPEED_RADPS, piper
from robots.embodiments.piper_urdf import ARM, GRIPPER_M, TIP, urdf
from robots.errors import SpecError

F64 = np.typing.NDArray[np.float64]


def inside(rng: np.random.Generator) -> F64:
    return np.array([rng.uniform(low, high) for low, high in RANGES_RAD])


def test_the_table_is_lossless_in_json() -> None:
    assert Embodiment.from_json(PIPER.to_json()) == PIPER


def test_ranges_are_those_of_the_sdk() -> None:
    piper_sdk = pytest.importorskip("piper_sdk", reason="the extra `piper` is not installed")
    manager = piper_sdk.piper_param.C_PiperParamManager()
    for number, (low, high) in enumerate(RANGES_RAD, start=1):
        assert manager.GetJointLimitParam(f"j{number}") == pytest.approx([low, high], abs=1e-4)
    assert manager.GetGripperRangeParam() == pytest.approx([0.0, JOINTS["gripper_aperture"].high])


def test_a_slowed_piper_keeps_its_ranges() -> None:
    slow = piper(0.2, floor_m=0.05, cameras=())
    assert slow.joints["joint3"].max_speed == pytest.approx(0.2 * TOP_SPEED_RADPS)
    assert slow.joints["joint3"].low == JOINTS["joint3"].low
    assert slow.cameras == ()
    assert slow.workspace is not None
    assert slow.workspace.low[2] == 0.05
    with pytest.raises(SpecError, match="speed of piper: got 0"):
        piper(0.0)


def test_chunks_are_joint_rows_and_increments_of_the_pose() -> None:
    rows, increments = PIPER.chunks
    assert rows.names == (*ARM, "gripper_aperture")
    assert (rows.low[2], rows.high[2]) == (-2.967, 0.0)
    assert len(increments) == 7
    assert (increments.low[-1], increments.high[-1]) == (0.0, 1.0)


def test_the_chain_is_that_of_the_sdk() -> None:
    kinematics_of = pytest.importorskip("piper_sdk", reason="the extra `piper` is not installed").kinematics
    oracle = kinematics_of.C_PiperForwardKinematics(dh_is_offset=1)
    ours, rng = Kinematics(urdf(), ARM, "link6"), np.random.default_rng(1)
    for _ in range(100):
        q = inside(rng)
        expected = oracle.CalFK(q.tolist())[-1]  # mm and degrees
        position, rotation = ours.forward(q)
        assert np.allclose(position * 1000.0, expected[:3], atol=1e-3)
        roll, pitch, yaw = np.deg2rad(expected[3:])
        expected = rotation_of((0, 0, yaw)) @ rotation_of((0, pitch, 0)) @ rotation_of((roll, 0, 0))
        assert np.allclose(rotation, expected, atol=1e-6)


def test_the_fingertips_are_in_front_of_the_flange() -> None:
    pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
    flange, tip = Kinematics(PIPER_URDF, ARM, "link6"), Kinematics(PIPER_URDF, ARM, TIP)
    position, rotation = flange.forward(HOME_RAD)
    assert np.allclose(tip.forward(HOME_RAD)[0], position + GRIPPER_M * rotation[:, 2])


def test_inverse_is_the_inverse_of_forward() -> None:
    pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
    kinematics, rng = Kinematics(PIPER_URDF, ARM, TIP), np.random.default_rng(2)
    for _ in range(200):
        q = inside(rng)
        near = np.clip(q + rng.uniform(-0.05, 0.05, 6), *np.array(RANGES_RAD).T)
        position, rotation = kinematics.forward(q)
        found = kinematics.inverse(position, rotation, near, JOINTS)
        again, turned = kinematics.forward(found)
        assert np.allclose(again, position, atol=1e-5)
        assert np.allclose(turned, rotation, atol=2e-4)
        assert (found >= np.array(RANGES_RAD)[:, 0]).all()
        assert (found <= np.array(RANGES_RAD)[:, 1]).all()


def test_from_home_the_gripper_reaches_ten_centimetres_to_every_side() -> None:
    pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
    kinematics = Kinematics(PIPER_URDF, ARM, TIP)
    position, rotation = kinematics.forward(HOME_RAD)
    for way in itertools.chain(np.eye(3) * 0.1, np.eye(3) * -0.1):
        q = np.array(HOME_RAD)
        for k in range(1, 6):
            q = kinematics.inverse(position + way * k / 5, rotation, q, JOINTS)
        reached, turned = kinematics.forward(q)
        assert np.allclose(reached, position + way, atol=1e-4)
        assert np.allclose(turned, rotation, atol=1e-3)


def test_beyond_its_reach_is_unreachable() -> None:
    pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
    with pytest.raises(Unreachable, match=r"^unreachable: \(1\.000, 0\.000, 0\.000\) m"):
        Kinematics(PIPER_URDF, ARM, TIP).inverse((1.0, 0.0, 0.0), np.eye(3), HOME_RAD, JOINTS)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 0.3, 2.0, np.pi - 1e-5, np.pi])
def test_a_rotation_vector_survives_the_way_through_a_matrix(angle: float) -> None:
    for axis in ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.6, 0.0, -0.8), (-2 / 3, 1 / 3, 2 / 3)):
        matrix = rotation_of(np.array(axis) * angle)
        vector = rotation_vector(matrix)
        assert np.allclose(rotation_of(vector), matrix, atol=1e-7)
        assert np.linalg.norm(vector) == pytest.approx(angle, abs=1e-6)
