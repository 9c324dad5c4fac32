"""The planner: Cartesian rows become joint rows, and what cannot be done is refused by name."""

import math
from dataclasses import replace

import numpy as np
import pytest

from robots.arms.action_chunks import POSE
from robots.arms.kinematics import Kinematics, rotation_of
from robots.arms.planner import ArmPlanner, Plan, Refused, outside
from robots.arms.trajectory import Trajectory
from robots.command import Chunk, Command, Done, JointTarget, MoveJoint, SetGripper
from robots.embodiment import Workspace
from robots.embodiments.piper import HOME_RAD, PIPER, PIPER_URDF
from robots.embodiments.piper_urdf import ARM, TIP
from robots.limits import GRIPPER_JOINT

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

KINEMATICS = Kinematics(PIPER_URDF, ARM, TIP)
PLANNER = ArmPlanner(PIPER, ARM, KINEMATICS, 5.0)
HERE = dict(zip(PIPER.joints, (*HOME_RAD, 0.02)))
NAMES = (*POSE, "gripper")


def chunk(*row: float, count: int = 4, period_s: float = 0.1) -> Chunk:
    return Chunk(NAMES, (row,) * count, period_s)


def arm_of(command: Command, here: dict[str, float] = HERE) -> Trajectory:
    plan = PLANNER.plan(command, here)
    assert plan.arm is not None
    return plan.arm


def test_increments_add_up_in_the_base_frame() -> None:
    plan = PLANNER.plan(chunk(0.01, 0.005, -0.005, 0.0, 0.0, 0.02, 0.5, count=5), HERE)
    assert plan.arm is not None
    assert plan.gripper is not None
    begun, turned = KINEMATICS.forward(HOME_RAD)
    place, rotation = KINEMATICS.forward(plan.arm.end)
    assert np.allclose(place - begun, (0.05, 0.025, -0.025), atol=1e-4)
    assert np.allclose(rotation, rotation_of((0.0, 0.0, 0.1)) @ turned, atol=1e-3)
    assert plan.gripper.end.tolist() == pytest.approx([0.035])


def test_the_path_between_rows_is_nearly_straight() -> None:
    path = arm_of(chunk(0.02, 0.0, 0.01, 0.0, 0.0, 0.0, 0.3))
    begun = PLANNER.tip(path.at(0.0))
    way = PLANNER.tip(path.end) - begun
    for elapsed in np.arange(0.0, path.duration_s, 0.01):
        off = np.cross(PLANNER.tip(path.at(elapsed)) - begun, way / np.linalg.norm(way))
        assert np.linalg.norm(off) < 0.001


def test_a_gripper_that_is_asked_to_snap_goes_at_its_own_speed_and_to_the_end() -> None:
    way = PLANNER.plan(chunk(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, count=2), HERE).gripper
    assert way is not None
    assert way.end.tolist() == pytest.approx([0.07])
    assert way.peaks().max() <= PIPER.joints[GRIPPER_JOINT].max_speed + 1e-9
    assert way.duration_s == pytest.approx(0.5 + 0.1)


def test_joint_rows_are_taken_as_they_are_whatever_their_order() -> None:
    names = tuple(reversed(PIPER.joints))
    plan = PLANNER.plan(Chunk(names, (tuple(reversed((*HOME_RAD, 0.03))),), 0.1), HERE)
    assert plan.row(np.zeros(7), 9.0).tolist() == pytest.approx([*HOME_RAD, 0.03])


def test_out_of_the_workspace_is_refused_before_out_of_reach() -> None:
    with pytest.raises(Refused, match=r"^out of workspace: the fingertips at \(.*, -0\.0\d\d\) m, expected \(-0\.2"):
        PLANNER.plan(chunk(0.0, 0.0, -0.05, 0.0, 0.0, 0.0, 0.0), HERE)
    with pytest.raises(Refused, match=r"^out of workspace"):
        PLANNER.plan(chunk(0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, count=16), HERE)


def test_a_joint_motion_through_the_table_is_refused() -> None:
    with pytest.raises(Refused, match=r"^out of workspace"):
        PLANNER.plan(JointTarget(("joint2",), (2.4,)), HERE)


def test_an_arm_outside_its_workspace_may_come_back_but_not_go_on() -> None:
    low = {**HERE, "joint2": 2.2}
    assert PLANNER.tip([low[name] for name in ARM])[2] < -0.05
    assert arm_of(JointTarget(("joint2",), (1.3,)), low).end[1] == pytest.approx(1.3)
    with pytest.raises(Refused, match=r"^out of workspace"):
        PLANNER.plan(JointTarget(("joint2",), (2.3,)), low)


def test_inside_the_workspace_but_beyond_the_joints_is_unreachable() -> None:
    with pytest.raises(Refused, match=r"^unreachable: .* \(row \d+\)$"):
        PLANNER.plan(chunk(0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0, count=8, period_s=0.5), HERE)


def test_rows_that_need_a_joint_to_be_too_fast_are_a_jump() -> None:
    with pytest.raises(Refused, match=r"^jump: row 0 needs joint\d at \d+\.\d\d rad/s"):
        PLANNER.plan(chunk(0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, count=1, period_s=0.02), HERE)


def test_a_body_without_a_workspace_goes_anywhere() -> None:
    for free in (ArmPlanner(replace(PIPER, workspace=None), ARM, KINEMATICS, 5.0), ArmPlanner(PIPER, ARM, None, 5.0)):
        plan = free.plan(JointTarget(("joint2",), (2.4,)), HERE)
        assert plan.row(np.zeros(7), 9.0)[1] == pytest.approx(2.4)


def test_without_kinematics_no_pose_is_taken() -> None:
    with pytest.raises(Refused, match=r"^no kinematics"):
        ArmPlanner(PIPER, ARM, None, 5.0).plan(chunk(*(0.0,) * 7), HERE)


def test_a_joint_beyond_its_range_is_sent_to_its_end_and_no_other_leaves_its_own() -> None:
    beyond = {**HERE, "joint3": 0.015}
    assert arm_of(MoveJoint("joint1", 0.1), beyond).end[2] == 0.0


@pytest.mark.parametrize(
    ("command", "arm", "gripper"),
    [
        (MoveJoint("joint1", 0.1), True, False),
        (MoveJoint("gripper_aperture", 0.01), False, True),
        (JointTarget(("joint1",), (0.1,)), True, False),
        (JointTarget(("joint1", "gripper_aperture"), (0.1, 0.0)), True, True),
        (SetGripper(0.01), False, True),
        (chunk(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), True, True),
        (Done(), False, False),
    ],
)
def test_what_is_not_named_is_left_alone(command: Command, arm: bool, gripper: bool) -> None:
    plan = PLANNER.plan(command, HERE)
    assert (plan.arm is not None, plan.gripper is not None) == (arm, gripper)
    assert (plan == Plan()) is not (arm or gripper)


def test_how_far_outside_a_box() -> None:
    box = Workspace((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert outside(np.array((0.5, 1.0, 0.0)), box) == 0.0
    assert outside(np.array((-0.3, 0.5, 1.4)), box) == pytest.approx(math.hypot(0.3, 0.4))
