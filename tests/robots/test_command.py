"""Commands are lossless in JSON and never carry a number that is not finite."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    check_finite,
    command_from_json,
    command_to_json,
)
from robots.errors import SpecError

number = st.floats(-10, 10)
commands = st.one_of(
    st.builds(MoveBase, number),
    st.builds(RotateBase, number),
    st.builds(MoveJoint, st.sampled_from(["joint_lift", "joint_arm"]), number),
    st.builds(SetGripper, number),
    st.builds(JointTarget, st.just(("a", "b")), st.tuples(number, number), number),
    st.builds(Chunk, st.just(("a", "b")), st.tuples(st.tuples(number, number), st.tuples(number, number)), number),
    st.builds(LookAt, number, number),
    st.sampled_from([Grasp(), Release(), Stop(), Done(), Done(subgoal=True)]),
)


@given(commands)
def test_a_command_survives_json(command: Command) -> None:
    assert command_from_json(json.loads(json.dumps(command_to_json(command)))) == command


def test_every_kind_is_tested() -> None:
    assert len(COMMANDS) == 11


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(SpecError, match="got 'Fly', expected one of MoveBase, "):
        command_from_json({"kind": "Fly"})


def test_a_wrong_field_names_the_right_ones() -> None:
    with pytest.raises(SpecError, match=r"MoveBase fields: got \['metres'\]"):
        command_from_json({"kind": "MoveBase", "metres": 1.0})


@pytest.mark.parametrize(
    "command",
    [
        MoveBase(math.nan),
        RotateBase(math.inf),
        JointTarget(("a", "b"), (0.0, math.nan)),
        LookAt(0.0, -math.inf),
        Chunk(("a",), ((math.nan,),), 0.1),
    ],
)
def test_a_number_that_is_not_finite_is_found(command: Command) -> None:
    with pytest.raises(SpecError, match="expected a finite number"):
        check_finite(command)
