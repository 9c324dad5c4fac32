"""What is measured is held against what a robot can do before it is believed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import pytest

from robots.embodiments.ros2_control_arms import UR5E
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.plausibility import CLEAR_S, Plausibility, of_base, of_joint, of_joints

LIFT = "shoulder_lift_joint"
PERIOD_S = 0.008


def arm() -> Plausibility:
    return Plausibility({LIFT: of_joint(UR5E.joints[LIFT], "rad")}, "; are two nodes publishing it?")


def fed(watch: Plausibility, values: Iterable[float], begin_s: float) -> list[bool]:
    return [watch.take({LIFT: value}, begin_s + number * PERIOD_S) for number, value in enumerate(values)]


def test_a_moving_joint_is_believed_at_its_top_speed() -> None:
    assert all(fed(arm(), (math.pi * number * PERIOD_S for number in range(200)), 0.0))


def test_a_glitch_is_rejected_and_reported_until_the_rest_agreed_for_a_while() -> None:
    watch, begin_s = arm(), time.monotonic() - 0.1
    assert fed(watch, [-1.57, -1.57, 0.0, -1.57, -1.57], begin_s) == [True, True, False, True, True]
    assert watch.fault.startswith(f"feedback jumps: {LIFT} by 1.57 rad in 0.008 s; are two nodes publishing it?")
    later = arm()
    fed(later, [-1.57, -1.57, 0.0, -1.57, -1.57], time.monotonic() - CLEAR_S - 0.2)
    assert later.fault == ""


def test_two_sources_are_a_fault_as_long_as_both_publish_and_the_second_is_never_believed() -> None:
    watch, begin_s = arm(), time.monotonic() - 4.0
    assert fed(watch, [-1.57, 0.0] * 250, begin_s) == [True, False] * 250
    assert watch.take({LIFT: 0.0}, time.monotonic()) is False
    assert watch.fault.startswith("feedback jumps")


def test_a_place_that_all_agree_on_is_believed_in_the_end() -> None:
    count = round(CLEAR_S / PERIOD_S)
    believed = fed(arm(), [-1.57] * 10 + [3.0] * (count + 20), 0.0)
    assert not any(believed[10 : 10 + count - 2])
    assert all(believed[-10:])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 7.0, 215.0])
def test_what_no_joint_can_be_at_is_a_fault_as_long_as_it_is_reported(value: float) -> None:
    watch = arm()
    assert fed(watch, [-1.57, value, value], time.monotonic()) == [True, False, False]
    assert watch.fault.startswith(f"feedback impossible: {LIFT} at ")


def test_of_a_message_that_cannot_be_nothing_is_believed() -> None:
    watch = Plausibility({name: of_joint(one, "rad") for name, one in UR5E.joints.items()})
    here = dict.fromkeys(UR5E.joints, 0.2)
    assert watch.take(here, 0.0)
    assert not watch.take({**here, "elbow_joint": -1.0, "wrist_1_joint": 0.25}, PERIOD_S)
    assert watch.take(here, 2 * PERIOD_S)


def test_messages_that_came_in_together_were_sent_one_after_the_other() -> None:
    watch = arm()
    assert watch.take({LIFT: 0.0}, 0.0, 100.0)
    assert watch.take({LIFT: 0.3}, 0.1, 100.1)
    assert watch.take({LIFT: 0.6}, 0.1001, 100.2)
    assert not watch.take({LIFT: 1.5}, 0.1002, 100.21)


def test_after_a_silence_a_joint_may_be_anywhere_in_its_range() -> None:
    watch = arm()
    assert watch.take({LIFT: 0.0}, 0.0)
    assert watch.take({LIFT: 3.0}, 5.0)


def test_odometry_turns_on_and_does_not_leap() -> None:
    assert STRETCH_RE1.base is not None
    watch = Plausibility(of_base(STRETCH_RE1.base))
    assert watch.take({"x": 0.0, "y": 0.0, "yaw": 0.0}, 0.0)
    assert watch.take({"x": 0.01, "y": 0.0, "yaw": 0.1}, 0.033)
    assert not watch.take({"x": 1.0, "y": 0.0, "yaw": 0.1}, 0.066)
    assert not watch.take({"x": 0.01, "y": 0.0, "yaw": math.nan}, 0.099)


def test_fingers_that_squeeze_are_reported_below_zero() -> None:
    assert Plausibility(of_joints(STRETCH_RE1)).take({"gripper_aperture": -0.13}, 0.0)
