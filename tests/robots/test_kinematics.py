"""Kinematics: against the vendor's own forward kinematics, round trips, limits, and what cannot be reached."""

import math
import sys

import numpy as np
import pytest

from robots.arms.kinematics import Kinematics, Unreachable, rotation_of
from robots.embodiment import JointLimits
from robots.errors import NotInstalled, SpecError

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

PLANAR = """<robot name="planar">
<link name="base"/><link name="upper"/><link name="lower"/><link name="tip"/><link name="finger"/>
<joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
  <limit lower="-3" upper="3" effort="1" velocity="1"/></joint>
<joint name="elbow" type="revolute">
  <origin xyz="0.3 0 0"/><parent link="upper"/><child link="lower"/><axis xyz="0 0 1"/>
  <limit lower="-3" upper="3" effort="1" velocity="1"/></joint>
<joint name="hand" type="fixed"><origin xyz="0.2 0 0"/><parent link="lower"/><child link="tip"/></joint>
<joint name="grip" type="prismatic"><parent link="lower"/><child link="finger"/><axis xyz="0 1 0"/>
  <limit lower="0" upper="0.1" effort="1" velocity="1"/></joint>
</robot>"""
WIDE = {name: JointLimits(-3.0, 3.0, 1.0) for name in ("shoulder", "elbow")}


@pytest.fixture
def planar() -> Kinematics:
    return Kinematics(PLANAR, ("shoulder", "elbow"), "tip")


def test_two_links_end_where_geometry_says(planar: Kinematics) -> None:
    position, rotation = planar.forward((0.4, 0.5))
    expected = (0.3 * math.cos(0.4) + 0.2 * math.cos(0.9), 0.3 * math.sin(0.4) + 0.2 * math.sin(0.9), 0.0)
    assert np.allclose(position, expected, atol=1e-12)
    assert np.allclose(rotation, rotation_of((0.0, 0.0, 0.9)), atol=1e-12)


def test_joints_are_in_the_order_asked_for() -> None:
    turned = Kinematics(PLANAR, ("elbow", "shoulder"), "tip")
    straight = Kinematics(PLANAR, ("shoulder", "elbow"), "tip")
    assert np.allclose(turned.forward((0.5, 0.4))[0], straight.forward((0.4, 0.5))[0])
    position, rotation = straight.forward((0.4, 0.5))
    assert np.allclose(turned.inverse(position, rotation, (0.45, 0.35), WIDE), (0.5, 0.4), atol=1e-4)


def test_a_place_beyond_reach_is_refused_by_name(planar: Kinematics) -> None:
    with pytest.raises(Unreachable, match=r"^unreachable: \(0\.900, 0\.000, 0\.000\) m is missed by 0\.4\d* m"):
        planar.inverse((0.9, 0.0, 0.0), np.eye(3), (0.1, 0.1), WIDE)


def test_a_place_behind_a_joint_limit_is_refused(planar: Kinematics) -> None:
    position, rotation = planar.forward((0.4, 0.5))
    narrow = {"shoulder": JointLimits(-3.0, 3.0, 1.0), "elbow": JointLimits(-0.3, 0.3, 1.0)}
    with pytest.raises(Unreachable, match="within the joint limits"):
        planar.inverse(position, rotation, (0.4, 0.2), narrow)


def test_a_far_place_is_a_jump(planar: Kinematics) -> None:
    position, rotation = planar.forward((1.2, 0.5))
    with pytest.raises(Unreachable, match=r"needs a jump of shoulder by 0\.8\d\d"):
        planar.inverse(position, rotation, (0.4, 0.5), WIDE)
    assert np.allclose(planar.inverse(position, rotation, (0.4, 0.5), WIDE, longest_jump=1.0), (1.2, 0.5), atol=1e-3)


def test_unknown_joints_and_links_are_named() -> None:
    with pytest.raises(SpecError, match="joint of the URDF: got 'wrist'"):
        Kinematics(PLANAR, ("wrist",), "tip")
    with pytest.raises(SpecError, match="link of the URDF: got 'nose'"):
        Kinematics(PLANAR, ("shoulder",), "nose")


def test_a_joint_without_end_is_refused() -> None:
    endless = PLANAR.replace('name="elbow" type="revolute"', 'name="elbow" type="continuous"')
    with pytest.raises(SpecError, match="expected revolute joints with limits"):
        Kinematics(endless, ("shoulder", "elbow"), "tip")


def test_without_pinocchio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pinocchio", None)
    with pytest.raises(NotInstalled, match=r"Pinocchio cannot be imported .*pip install -e '.\[arm\]'"):
        Kinematics(PLANAR, ("shoulder",), "tip")


def test_a_rotation_vector_turns_counter_clockwise() -> None:
    assert np.allclose(rotation_of((0.0, 0.0, math.pi / 2)) @ (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert np.allclose(rotation_of((0.0, 0.0, 0.0)), np.eye(3))
    assert np.allclose(rotation_of((1e-12, 0.0, 0.0)) @ (0.0, 1.0, 0.0), (0.0, 1.0, 1e-12))
