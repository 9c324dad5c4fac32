"""Messages and values: the round trips are lossless and what cannot be read is refused by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ferry_ros.messages import convert, images
from ferry_ros.messages.diagnostics import executor_status, result_msg, result_of, values_of
from hypothesis import example, given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robots.command import (
    COMMANDS,
    Chunk,
    Command,
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.embodiments.stretch_re1 import ACTIONS, CAMERAS, STRETCH_RE1
from robots.errors import SpecError
from robots.execution.command_request import CommandRequest, CommandResult, Status
from robots.robot import Sent

numbers = st.floats(allow_nan=False)
joints = st.sampled_from(("joint_lift", "joint_arm", "gripper_aperture", "joint_head_pan", "joint_head_tilt"))
targets = st.lists(st.tuples(joints, numbers), max_size=5, unique_by=lambda pair: pair[0])
commands = st.one_of(
    st.builds(MoveBase, numbers),
    st.builds(RotateBase, numbers),
    st.builds(MoveJoint, joints, numbers),
    st.builds(SetGripper, numbers),
    st.builds(LookAt, numbers, numbers),
    st.builds(
        lambda pairs, s: JointTarget(tuple(n for n, _ in pairs), tuple(v for _, v in pairs), s), targets, numbers
    ),
    st.builds(
        lambda rows, period_ns: Chunk(("delta_x", "gripper"), tuple(rows), period_ns / 1e9),
        st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4),
        st.integers(1, 10**10),
    ),
    st.sampled_from([Grasp(), Release(), Stop(), Done(), Done(subgoal=True)]),
)
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)  # no NUL on the wire
stamps = st.integers(0, 2**31 * 10**9 - 1)


def over_the_wire(message: object) -> object:
    """Through DDS's own serialization and back."""
    return deserialize_message(serialize_message(message), type(message))


@given(commands, stamps, st.integers(0, 10**12))
@example(Chunk(("delta_x", "gripper"), ((0.0, 0.0),), 2.540473829), 0, 0)  # was 2.5404738289999997 on the other side
def test_every_command_survives_the_wire(command: Command, stamp_ns: int, valid_ns: int) -> None:
    order = CommandRequest(stamp_ns, command, valid_ns / 1e9, "" if stamp_ns % 2 else "5f0c11ab90d2e3f4")
    back = convert.request_of(over_the_wire(convert.request_msg(order)))
    assert back.command == command
    assert (back.stamp_ns, back.lease) == (stamp_ns, order.lease)
    assert back.valid_for_s == pytest.approx(order.valid_for_s, abs=1e-9)


def test_the_strategy_covers_every_kind_of_command() -> None:
    kinds = {MoveBase, RotateBase, MoveJoint, SetGripper, LookAt, JointTarget, Chunk, Grasp, Release, Stop, Done}
    assert kinds == set(COMMANDS.values())


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_of_the_stretch_survives_the_wire(name: str) -> None:
    assert convert.request_of(convert.request_msg(CommandRequest(1, ACTIONS[name], 0.5))).command == ACTIONS[name]


def test_increments_and_absolute_values_are_distinguished_by_the_frame() -> None:
    moved = convert.request_msg(CommandRequest(1, MoveJoint("gripper_aperture", 0.02), 0.5))
    assert (moved.header.frame_id, moved.joint_names) == ("current", ["gripper_aperture"])
    opened = convert.request_msg(CommandRequest(1, SetGripper(0.02), 0.5))
    assert (opened.header.frame_id, opened.joint_names) == ("", ["gripper_aperture"])


def test_nan_reaches_the_executor_which_names_it() -> None:
    command = convert.request_of(convert.request_msg(CommandRequest(1, MoveBase(math.nan), 0.5))).command
    assert isinstance(command, MoveBase)
    assert math.isnan(command.distance_m)


@pytest.mark.parametrize("joint", ["duration", "done", "translate_mobile_base"])
def test_a_joint_cannot_have_a_virtual_name(joint: str) -> None:
    with pytest.raises(SpecError, match=f"joint: got '{joint}', expected a name other than"):
        convert.request_msg(CommandRequest(1, MoveJoint(joint, 0.1), 0.5))


def trajectory(frame_id: str, values: dict[str, float]) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(values))
    message.header.frame_id = frame_id
    message.points = [JointTrajectoryPoint(positions=list(values.values()))]
    return message


def uneven() -> JointTrajectory:
    message = convert.request_msg(CommandRequest(1, Chunk(("joint_lift",), ((0.1,), (0.2,), (0.3,)), 0.1), 0.5))
    message.points[3].time_from_start.nanosec = 500_000_000
    return message


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (trajectory("map", {"joint_lift": 0.1}), "command frame_id: got 'map'"),
        (trajectory("current", {"joint_lift": 0.1, "joint_arm": 0.1}), "expected exactly one joint"),
        (trajectory("", {"joint_lift": 0.1}), "absolute command joints: got joint_lift, expected duration last"),
        (trajectory("", {"gripper_grasp": 0.5}), "gripper_grasp: got 0.5, expected 0 or 1"),
        (trajectory("current", {"done": 1.0}), "joint: got 'done'"),
        (JointTrajectory(joint_names=["joint_lift"]), "command points: got 0, expected exactly one"),
        (
            trajectory("chunk", {"joint_lift": 0.1}),
            "chunk points: got 1, expected one without positions, then",
        ),
        (uneven(), r"chunk times: got \[0.1, 0.2, 0.5\], expected rows that are even, one every 0.1 s"),
    ],
)
def test_what_is_no_command_is_refused_by_name(message: JointTrajectory, error: str) -> None:
    with pytest.raises(SpecError, match=error):
        convert.request_of(message)


def test_positions_and_joint_names_must_have_one_length() -> None:
    message = trajectory("current", {"joint_lift": 0.1})
    message.joint_names = ["joint_lift", "joint_arm"]
    with pytest.raises(SpecError, match="command positions: got 1"):
        convert.request_of(message)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), stamps)
def test_an_image_survives_the_wire(height: int, width: int, seed: int, stamp_ns: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = over_the_wire(images.image_msg(image, stamp_ns, "navigation"))
    assert isinstance(message, Image)
    assert (images.decode(message) == image).all()
    assert convert.stamp_of(message.header) == stamp_ns


def test_other_encodings_and_short_images_are_refused() -> None:
    message = images.image_msg(np.zeros((2, 3, 3), np.uint8), 1, "navigation")
    message.height = 4
    with pytest.raises(SpecError, match="image data: got 18 bytes of step 9"):
        images.decode(message)
    message.encoding = "32FC1"
    with pytest.raises(SpecError, match="image encoding: got '32FC1'"):
        images.decode(message)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=6, max_size=6), st.booleans())
def test_the_state_survives_the_wire(joint_positions: list[float], in_hand: bool) -> None:
    state = {"joints": np.array(joint_positions, np.float32), "hand": np.array([in_hand], np.float32)}
    message = over_the_wire(convert.state_msg(state, STRETCH_RE1, 7))
    assert isinstance(message, JointState)
    back = convert.state_of(message, STRETCH_RE1)
    assert all((back[group] == state[group]).all() for group in state)


def test_a_state_that_lacks_a_joint_is_refused() -> None:
    with pytest.raises(SpecError, match="joint state: got no 'joint_lift'"):
        convert.state_of(JointState(name=["joint_arm"], position=[0.1]), STRETCH_RE1)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-3.14, 3.14))
def test_a_pose_survives_the_wire(x: float, y: float, yaw: float) -> None:
    message = over_the_wire(convert.odometry_msg((x, y, yaw), 5))
    assert convert.pose_of(message) == pytest.approx((x, y, yaw))  # type: ignore[arg-type]


def test_the_camera_info_says_the_field_of_view() -> None:
    message = images.camera_info_msg(CAMERAS[0], 3, "navigation_optical_frame")
    assert (message.height, message.width) == (720, 1280)
    assert math.degrees(2 * math.atan2(360, message.k[4])) == pytest.approx(59.0)


@given(
    commands,
    words,
    words,
    st.lists(joints, max_size=3),
    st.none() | st.floats(0, 1e6),
    stamps,
    st.booleans(),
)
def test_a_result_survives_the_wire(
    command: Command, refused: str, blocked: str, clipped: list[str], age: float | None, stamp_ns: int, ended: bool
) -> None:
    sent = Sent(command, tuple(clipped), refused, blocked, ended)
    result = CommandResult(stamp_ns, sent, "because", stamp_ns + 1, age, stamp_ns + 2, 0.25)
    assert result_of(over_the_wire(result_msg(result))) == result


def test_a_result_says_at_a_glance_what_happened() -> None:
    levels = [
        result_msg(CommandResult(1, sent)).status[0]
        for sent in (Sent(Stop()), Sent(Stop(), blocked="contact"), Sent(Stop(), refused="stale"))
    ]
    assert [(ord(one.level), one.message) for one in levels] == [(0, "executed"), (1, "contact"), (2, "stale")]


def test_something_else_is_no_result() -> None:
    message = result_msg(CommandResult(1, Sent(Stop())))
    message.status[0].values = []
    with pytest.raises(SpecError, match="result values: got KeyError 'command'"):
        result_of(message)
    message.status = []
    with pytest.raises(SpecError, match="result statuses: got 0, expected exactly one"):
        result_of(message)


def test_the_executor_reports_its_state() -> None:
    one = executor_status(Status("held", "camera frozen", "camera frozen", {"executed": 3}, 1.5))
    assert (ord(one.level), one.message) == (2, "camera frozen")
    assert values_of(one) == {
        "state": "held",
        "reason": "camera frozen",
        "last_stop": "camera frozen",
        "shared_memory": "",
        "observation_age_s": "1.5",
        "executed": "3",
    }
