"""The LoCoBot's table: what it masks, which slots move its camera, and that one table holds for both its drivers."""

from __future__ import annotations

import json
import math

import pytest

from robots.binding import bind
from robots.command import Command, Done, LookAt, MoveBase, MoveJoint, RotateBase
from robots.embodiment import Embodiment
from robots.embodiments.locobot import (
    DEFAULT_CAMERA_SLOTS,
    HEAD_SPEED_RADPS,
    HOME,
    JOINTS,
    LOCOBOT,
    LOOK_STEP_RAD,
    PAN,
    TILT,
    camera_slots,
    locobot,
)
from robots.embodiments.stretch_re1 import ACTIONS, SPOC_ACTIONS, STRETCH_RE1
from robots.errors import BindError, SpecError
from robots.limits import limit
from robots.spec import CameraInput, PolicySpec, VectorSpec

SPOC = PolicySpec(
    cameras=(CameraInput("navigation", 224, 384, 59.0), CameraInput("manipulation", 224, 384, 59.0)),
    state=VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,)),
    actions=SPOC_ACTIONS,
    horizon=600,
    control_period_s=1.0,
)
LEVEL = {PAN: 0.0, TILT: 0.0}


def test_every_action_of_spoc_is_there_or_masked() -> None:
    assert set(LOCOBOT.actions) | set(LOCOBOT.masked) == set(ACTIONS)
    assert not set(LOCOBOT.actions) & set(LOCOBOT.masked)
    assert LOCOBOT.masked == (
        "pickup",
        "move_arm_in",
        "move_arm_out",
        "wrist_open",
        "wrist_close",
        "move_arm_down_small",
        "move_arm_in_small",
        "move_arm_out_small",
        "move_arm_up_small",
        "dropoff",
    )


def test_a_base_move_means_the_same_as_on_the_stretch() -> None:
    for name, command in ACTIONS.items():
        if isinstance(command, MoveBase | RotateBase | Done):
            assert LOCOBOT.actions[name] == command == STRETCH_RE1.actions[name]


def test_the_default_slots_look_up_and_down_by_30_degrees() -> None:
    assert {
        "move_arm_up": MoveJoint(TILT, math.radians(30)),
        "move_arm_down": MoveJoint(TILT, -math.radians(30)),
    } == DEFAULT_CAMERA_SLOTS
    assert all(isinstance(ACTIONS[name], MoveJoint) for name in DEFAULT_CAMERA_SLOTS)  # a LoCoBot cannot do those


@pytest.mark.parametrize(("name", "command"), LOCOBOT.actions.items())
def test_its_own_actions_are_within_its_limits(name: str, command: Command) -> None:
    sent = limit(command, LOCOBOT, LEVEL)
    assert sent.executed, name
    assert not sent.clipped


def test_the_head_stays_within_both_vendors_ranges() -> None:
    interbotix = {PAN: (-math.pi / 2, math.pi / 2), TILT: (-math.radians(75), math.pi / 2)}  # tilt upwards
    pyrobot = {PAN: (-2.7, 2.6), TILT: (-1.75, 1.4)}
    for limits in (interbotix, pyrobot):
        for name, (low, high) in limits.items():
            assert low - 1e-9 <= JOINTS[name].low < JOINTS[name].high <= high + 1e-9
    assert pytest.approx(0.24, abs=0.001) == HEAD_SPEED_RADPS
    assert limit(HOME, LOCOBOT, LEVEL).command == HOME
    assert limit(LookAt(0.0, -1.4), LOCOBOT, LEVEL).command == LookAt(0.0, -math.radians(75))


def test_the_base_is_no_faster_than_pyrobot_lets_it() -> None:
    assert LOCOBOT.base is not None
    assert (LOCOBOT.base.max_speed_mps, LOCOBOT.base.max_turn_radps) == (0.2, 0.5)
    assert limit(MoveBase(0.25), LOCOBOT, LEVEL).executed
    assert limit(MoveBase(0.3), LOCOBOT, LEVEL).refused.startswith("base step of 0.300 m")


def test_both_views_of_spoc_come_from_its_one_camera() -> None:
    binding = bind(SPOC, LOCOBOT)
    assert {camera for camera, _ in binding.views.values()} == {"navigation"}
    assert binding.mask.tolist() == [name in LOCOBOT.actions for name in SPOC_ACTIONS.names]
    with pytest.raises(BindError, match=r"got 42\.5 degrees, expected 59\.0"):
        bind(SPOC, locobot(image_fov_deg=42.5))


def test_a_user_chooses_the_slots() -> None:
    body = locobot(camera_slots(f"rotate_left_small:{TILT}:0.5235987, rotate_right_small:{TILT}:-0.17"))
    assert body.actions["rotate_left_small"] == MoveJoint(TILT, 0.5235987)
    assert {"move_arm_up", "move_arm_down"} <= set(body.masked)
    assert bind(SPOC, body).command(SPOC_ACTIONS.index("rotate_right_small")) == MoveJoint(TILT, -0.17)


def test_slots_are_json_too() -> None:
    text = json.dumps({"pickup": {"kind": "LookAt", "pan_rad": 0.0, "tilt_rad": -0.3}})
    assert camera_slots(text) == {"pickup": LookAt(0.0, -0.3)}
    assert camera_slots(" ") == dict(DEFAULT_CAMERA_SLOTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("look_up:joint_head_tilt:0.1", "camera slot: got 'look_up', expected one of move_ahead, rotate_right"),
        (
            "pickup:joint_lift:0.1",
            "'pickup': got MoveJoint.* expected a LookAt, or a MoveJoint of joint_head",
        ),
        ("pickup:joint_head_tilt", "camera slot: got 'pickup:joint_head_tilt', expected action:joint:step"),
        ("pickup:joint_head_tilt:far", "expected action:joint:step, the step in radians"),
        ("pickup:joint_head_tilt:0", "step of camera slot 'pickup': got 0.0, expected more than 0 and at most 0.524"),
        ("pickup:joint_head_tilt:1.0", "got 1.0, expected more than 0 and at most 0.524 rad"),
        ("pickup:joint_head_tilt:nan", "got nan, expected more than 0"),
        ('{"pickup": {"kind": "MoveBase", "distance_m": 0.1}}', "camera slot 'pickup': got MoveBase"),
        ('{"pickup": 3}', "camera slots: got"),
        ("{", "camera slots: got '{', expected a JSON object of commands"),
    ],
)
def test_slots_that_are_no_slots_are_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        camera_slots(text)


def test_it_travels_as_json_and_says_how_it_stops() -> None:
    assert Embodiment.from_json(json.loads(json.dumps(LOCOBOT.to_json()))) == LOCOBOT
    assert set(LOCOBOT.stop) == {"base", "pan, tilt", "arm, gripper"}
    assert JOINTS[TILT].max_step == LOOK_STEP_RAD
