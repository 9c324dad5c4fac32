"""No command leaves the limits: it is clipped or refused, and it says which."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.arms.action_chunks import joint_positions
from robots.command import (
    Chunk,
    Command,
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import ACTIONS, JOINTS, STRETCH_RE1
from robots.limits import limit

MIDDLE = {name: (limits.low + limits.high) / 2 for name, limits in JOINTS.items()}
BARE = Embodiment("table", (), {}, {}, {})


@pytest.mark.parametrize("command", [*ACTIONS.values(), Stop(), LookAt(0.0, -0.5)])
def test_every_action_of_the_table_passes_untouched_from_the_middle(command: Command) -> None:
    sent = limit(command, STRETCH_RE1, MIDDLE)
    assert sent.command == command
    assert sent.executed
    assert sent.clipped == ()


@given(joint=st.sampled_from(sorted(JOINTS)), delta=st.floats(-0.1, 0.1), start=st.floats(0, 1))
def test_a_joint_never_leaves_its_range(joint: str, delta: float, start: float) -> None:
    limits = JOINTS[joint]
    here = limits.low + start * (limits.high - limits.low)
    sent = limit(MoveJoint(joint, delta), STRETCH_RE1, {**MIDDLE, joint: here})
    assert isinstance(sent.command, MoveJoint)
    assert limits.low - 1e-6 <= here + sent.command.delta <= limits.high + 1e-6
    assert bool(sent.clipped) == (sent.command.delta != delta)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (MoveBase(math.nan), "MoveBase.distance_m: got nan, expected a finite number"),
        (RotateBase(math.inf), "RotateBase.angle_rad: got inf"),
        (MoveBase(0.5), "base step of 0.500 m is beyond the longest step of 0.200 m"),
        (RotateBase(-3.0), "base step of 3.000 rad is beyond"),
        (MoveJoint("joint_lift", 5.0), "step of 5.000 of joint_lift is beyond the longest of 0.1"),
        (JointTarget((), ()), "a joint target without joints"),
        (SetGripper(math.nan), "SetGripper.aperture_m: got nan"),
        (MoveJoint("joint_tail", 0.1), "stretch_re1 has no joint 'joint_tail'; it has joint_lift, "),
        (JointTarget(("joint_tail",), (0.1,)), "stretch_re1 has no joint 'joint_tail'"),
        (JointTarget(("joint_lift",), (0.1, 0.2)), "1 joints but 2 positions"),
        (LookAt(math.nan, 0.0), "LookAt.pan_rad: got nan"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(command: Command, reason: str) -> None:
    sent = limit(command, STRETCH_RE1, MIDDLE)
    assert reason in sent.refused
    assert sent.command == command
    assert not sent.executed


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (MoveBase(0.1), "table has no base"),
        (SetGripper(0.1), "no joint 'gripper_aperture'"),
        (Grasp(), "table cannot grasp"),
        (LookAt(0.0, 0.0), "no joint"),
    ],
)
def test_a_body_refuses_what_it_lacks(command: Command, reason: str) -> None:
    assert reason in limit(command, BARE, {}).refused


def test_a_target_is_clipped_to_the_range_by_name() -> None:
    sent = limit(JointTarget(("joint_lift", "joint_arm"), (2.0, 0.1)), STRETCH_RE1, MIDDLE)
    assert sent.command == JointTarget(("joint_lift", "joint_arm"), (1.095, 0.1))
    assert sent.clipped == ("joint_lift",)


def test_the_head_is_clipped_by_name() -> None:
    sent = limit(LookAt(0.0, 1.0), STRETCH_RE1, MIDDLE)
    assert sent.command == LookAt(0.0, 0.419)
    assert sent.clipped == ("joint_head_tilt",)


def test_the_gripper_is_clipped_by_name() -> None:
    sent = limit(SetGripper(5.0), STRETCH_RE1, MIDDLE)
    assert sent.command == SetGripper(0.09)
    assert sent.clipped == ("gripper_aperture",)


def test_done_and_stop_are_always_allowed() -> None:
    assert limit(Done(), BARE, {}).executed
    assert limit(Stop(), BARE, {}).executed


@pytest.mark.parametrize("here", [math.nan, math.inf])
def test_nothing_moves_without_a_valid_reading(here: float) -> None:
    arm = replace(STRETCH_RE1, chunks=(joint_positions({"joint_arm": JOINTS["joint_arm"]}, ("m",)),))
    for command in (MoveJoint("joint_arm", 0.1), Chunk(("joint_arm",), ((0.1,),), 0.5)):
        sent = limit(command, arm, {**MIDDLE, "joint_arm": here})
        assert sent.refused == f"stretch_re1 does not report the position of joint_arm: got {here}"
