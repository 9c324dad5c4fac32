"""The Stretch table says what FLaRe's constants say, and survives JSON."""

import json
import math

import pytest

from robots.command import Done, Grasp, MoveBase, MoveJoint, Release, RotateBase
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import ACTIONS, JOINTS, SPOC_ACTIONS, STRETCH_RE1
from robots.errors import SpecError
from robots.spec import CameraSpec

# FLaRe utils/constants/stretch_initialization_utils.py: short names in logit order.
SHORT = [
    "m",
    "r",
    "l",
    "b",
    "end",
    "sub_done",
    "ls",
    "rs",
    "p",
    "zm",
    "zp",
    "yp",
    "ym",
    "wp",
    "wm",
    "yms",
    "zms",
    "zps",
    "yps",
    "d",
]
EXPECTED = {
    "m": MoveBase(0.2),
    "b": MoveBase(-0.2),
    "r": RotateBase(-math.radians(30)),
    "l": RotateBase(math.radians(30)),
    "rs": RotateBase(-math.radians(6)),
    "ls": RotateBase(math.radians(6)),
    "end": Done(),
    "sub_done": Done(subgoal=True),
    "p": Grasp(),
    "d": Release(),
    "zm": MoveJoint("joint_arm", -0.1),
    "zp": MoveJoint("joint_arm", 0.1),
    "zms": MoveJoint("joint_arm", -0.02),
    "zps": MoveJoint("joint_arm", 0.02),
    "ym": MoveJoint("joint_lift", -0.1),
    "yp": MoveJoint("joint_lift", 0.1),
    "yms": MoveJoint("joint_lift", -0.02),
    "yps": MoveJoint("joint_lift", 0.02),
    "wp": MoveJoint("joint_wrist_yaw", math.radians(10)),
    "wm": MoveJoint("joint_wrist_yaw", -math.radians(10)),
}


def test_the_actions_stand_in_the_order_of_the_network() -> None:
    assert [EXPECTED[short] for short in SHORT] == list(ACTIONS.values())
    assert SPOC_ACTIONS.names == tuple(ACTIONS)


def test_every_joint_a_command_moves_has_limits_and_a_reading() -> None:
    moved = {command.joint for command in ACTIONS.values() if isinstance(command, MoveJoint)}
    assert moved <= set(JOINTS)
    assert set(STRETCH_RE1.state["joints"].names) == set(JOINTS)


def test_the_embodiment_survives_json() -> None:
    assert Embodiment.from_json(json.loads(json.dumps(STRETCH_RE1.to_json()))) == STRETCH_RE1


@pytest.mark.parametrize("field", ["name", "cameras", "state", "actions", "joints"])
def test_a_missing_field_is_named(field: str) -> None:
    data = STRETCH_RE1.to_json()
    del data[field]
    with pytest.raises(SpecError, match=f"no '{field}'"):
        Embodiment.from_json(data)


def test_a_twin_sees_through_its_own_cameras() -> None:
    small = STRETCH_RE1.with_cameras(CameraSpec("navigation", 84, 144, 59.0))
    assert [camera.height for camera in small.cameras] == [84]
    assert small.actions == STRETCH_RE1.actions
