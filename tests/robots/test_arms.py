"""Tables of the ros2_control arms: kinematics against published poses, limits, grippers, chunks."""

from __future__ import annotations

import json
import math

import pytest

from robots.arms.action_chunks import GRIPPER
from robots.arms.kinematics import Kinematics
from robots.command import Done
from robots.embodiment import Embodiment
from robots.embodiments.ros2_control_arms import ARMS, FR3, ROW_M, UR5E, XARM6, Arm, arm
from robots.errors import SpecError
from robots.limits import GRIPPER_JOINT
from robots.spec import CameraSpec

CAMERA = CameraSpec("external", 48, 64, 42.5)
PUBLISHED = [
    # sums of the Denavit-Hartenberg parameters of the UR5e: all joints at zero, the arm stretched out
    (UR5E, False, (0.0,) * 6, (0.425 + 0.3922, 0.1333 + 0.0996, 0.1625 - 0.0997)),
    (FR3, True, FR3.ready, (0.30689, 0.0, 0.48688)),  # O_T_EE that libfranka reports in the ready pose
    (XARM6, False, (0.0,) * 6, (0.207, 0.0, 0.112)),  # the zero pose of the xArm6 user manual
]


@pytest.mark.parametrize(("preset", "gripper", "q", "expected"), PUBLISHED, ids=["ur5e", "fr3", "xarm6"])
def test_the_chain_leads_where_the_maker_says(
    preset: Arm, gripper: bool, q: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    position, _ = Kinematics(preset.urdf(gripper), tuple(preset.joints), "tip").forward(q)
    assert position.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("preset", ARMS.values(), ids=ARMS)
def test_ready_is_inside_of_limits_and_workspace_with_the_gripper_down(preset: Arm) -> None:
    for (name, limits), value in zip(preset.joints.items(), preset.ready):
        assert limits.low + 0.01 < value < limits.high - 0.01, name
    position, rotation = Kinematics(preset.urdf(True), tuple(preset.joints), "tip").forward(preset.ready)
    box = preset.workspace(0.0)
    assert all(low < at < high for low, at, high in zip(box.low, position, box.high))
    assert rotation[2, 2] == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("preset", ARMS.values(), ids=ARMS)
def test_one_frame_for_each_joint(preset: Arm) -> None:
    assert len(preset.chain) == len(preset.joints) == len(preset.ready)
    assert preset.urdf(True).count("<joint ") == len(preset.joints) + 2


@pytest.mark.parametrize("preset", ARMS.values(), ids=ARMS)
def test_the_embodiment_is_lossless_in_json(preset: Arm) -> None:
    body = preset.embodiment((CAMERA,), gripper=True, cartesian=True, floor_m=0.01)
    assert Embodiment.from_json(json.loads(json.dumps(body.to_json()))) == body
    assert body.base is None
    assert body.actions == {"done": Done()}
    assert body.workspace is not None
    assert body.workspace.low[2] == 0.01
    assert set(body.stop) == {"arm", "gripper"}


def test_what_it_takes_depends_on_gripper_and_kinematics() -> None:
    whole = UR5E.embodiment((CAMERA,), gripper=True, cartesian=True, floor_m=0.0)
    joints, pose = whole.chunks
    assert joints.names == (*UR5E.joints, GRIPPER_JOINT)
    assert joints.units == ("rad",) * 6 + ("m",)
    assert pose.names[-1] == GRIPPER
    assert pose.high[0] == ROW_M
    bare = UR5E.embodiment((CAMERA,), gripper=False, cartesian=True, floor_m=0.0)
    assert [one.names for one in bare.chunks] == [tuple(UR5E.joints)]
    assert GRIPPER_JOINT not in bare.joints
    jointwise = UR5E.embodiment((CAMERA,), gripper=True, cartesian=False, floor_m=0.0)
    assert len(jointwise.chunks) == 1
    assert jointwise.workspace is None


def test_limits_of_the_data_sheets() -> None:
    assert UR5E.joints["elbow_joint"].high == math.pi
    assert all(one.max_speed == pytest.approx(math.radians(180)) for one in UR5E.joints.values())
    assert FR3.joints["fr3_joint4"].high < 0.0
    assert XARM6.joints["joint3"].low == -3.927


@pytest.mark.parametrize("preset", ARMS.values(), ids=ARMS)
def test_a_gripper_joint_is_its_aperture_in_a_straight_line(preset: Arm) -> None:
    gripper = preset.gripper
    assert gripper.joint_of(0.0) == gripper.closed
    assert gripper.joint_of(gripper.aperture_m) == pytest.approx(gripper.open)
    assert gripper.aperture_of(gripper.joint_of(0.03)) == pytest.approx(0.03)


def test_an_unknown_arm_names_the_known_ones() -> None:
    assert arm("fr3") is FR3
    with pytest.raises(SpecError, match=r"arm: got 'ur3', expected one of ur5e, fr3, xarm6"):
        arm("ur3")
