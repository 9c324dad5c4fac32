"""Reading a URDF: frames, unphysical inertias, and errors of broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulation.robot_models.urdf import MIN_INERTIA_KG_M2, read_urdf, rpy_quaternion

LINK = """
<link name="{name}"><inertial><origin xyz="0.1 0 0"/><mass value="2"/>
<inertia ixx="{ixx}" iyy="{iyy}" izz="{izz}" ixy="{ixy}" ixz="0" iyz="0"/></inertial>
<visual><origin rpy="0 0 1.5708" xyz="0 0 1"/><geometry><mesh filename="./m/a.STL" scale="2 1 1"/></geometry></visual>
</link>"""
JOINT = """
<joint name="slide" type="prismatic"><origin xyz="1 2 3" rpy="0 0 0"/><parent link="a"/><child link="b"/>
<axis xyz="0 0 -1"/><limit lower="-0.5" upper="0.25"/></joint>"""


def write(folder: Path, *parts: str) -> Path:
    path = folder / "robot.urdf"
    path.write_text(f"<robot name='r'>{''.join(parts)}</robot>")
    return path


def link(name: str, ixx: float, iyy: float, izz: float, ixy: float = 0.0) -> str:
    return LINK.format(name=name, ixx=ixx, iyy=iyy, izz=izz, ixy=ixy)


def inertia_of(folder: Path, *values: float) -> np.ndarray:
    xx, yy, zz, xy, xz, yz = read_urdf(write(folder, link("a", *values)))[0]["a"].inertia_kg_m2
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@pytest.mark.parametrize("rpy_rad", [(0, 0, 0), (0.3, -1.2, 2.5), (-1.5708, 1.5708, 0), (3.14159, 0, -1.5708)])
def test_roll_pitch_yaw_are_about_fixed_axes(rpy_rad: tuple[float, float, float]) -> None:
    w, x, y, z = rpy_quaternion(np.array(rpy_rad))
    np.testing.assert_allclose(
        Rotation.from_quat([x, y, z, w]).as_matrix(), Rotation.from_euler("xyz", rpy_rad).as_matrix(), atol=1e-12
    )


def test_links_and_joints_come_as_written(tmp_path: Path) -> None:
    links, (joint,) = read_urdf(write(tmp_path, link("a", 1, 1, 1), "<link name='b'/>", JOINT))
    (visual,) = links["a"].visuals
    assert visual.path == tmp_path / "m" / "a.STL"
    assert visual.scale.tolist() == [2, 1, 1]
    assert links["a"].centre_m.tolist() == [0.1, 0, 0]
    assert links["b"].mass_kg == 0
    assert (joint.kind, joint.parent, joint.child, joint.range) == ("prismatic", "a", "b", (-0.5, 0.25))
    assert joint.position_m.tolist() == [1, 2, 3]
    assert joint.axis.tolist() == [0, 0, -1]


def test_a_physical_inertia_stays_as_it_is(tmp_path: Path) -> None:
    np.testing.assert_allclose(inertia_of(tmp_path, 0.3, 0.4, 0.5, 0.05), [[0.3, 0.05, 0], [0.05, 0.4, 0], [0, 0, 0.5]])


@pytest.mark.parametrize(
    "values", [(0, 0, 0), (1.1e-7, 1.1e-15, 1.1e-7), (1.1e-5, 2.1e-4, 2.2e-4, 3.6e-4), (0.1, 0.1, 0.9)]
)
def test_an_unphysical_inertia_is_repaired(tmp_path: Path, values: tuple[float, ...]) -> None:
    """Zero, nearly flat, not positive definite (as the RE1's fingers), and too long for any mass distribution."""
    moments = np.linalg.eigvalsh(inertia_of(tmp_path, *values))
    assert moments[0] >= MIN_INERTIA_KG_M2 * 0.999
    assert moments[2] < moments[0] + moments[1]


def test_a_joint_without_a_child_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"<joint \{'name': 'slide'.*expected a <child> inside"):
        read_urdf(write(tmp_path, link("a", 1, 1, 1), JOINT.replace('<child link="b"/>', "")))
