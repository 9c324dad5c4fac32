"""Following, standing and arriving."""

import numpy as np

from robots.arms.tracking import Standing, behind, missing
from robots.arms.trajectory import through

NAMES = ("joint1",)
PATH = through((0.0,), [(1.0,)], 2.0, (9.0,))


def test_a_joint_that_is_late_is_no_contact() -> None:
    late = PATH.at(1.0 - 0.45)
    assert behind(PATH, 1.0, NAMES, late) == ""


def test_a_joint_that_stands_while_its_path_goes_on_met_something() -> None:
    text = behind(PATH, 1.2, NAMES, np.array((0.0,)))
    assert text.startswith("contact: joint1 is 0.3")
    assert "off its path for 0.5 s" in text


def test_a_joint_ahead_of_its_path_is_told_too() -> None:
    assert behind(PATH, 1.0, NAMES, np.array((0.9,))).startswith("contact: joint1 is 0.4")


def test_an_arm_that_is_not_moved_is_behind_nothing() -> None:
    assert behind(None, 2.1, NAMES, np.array((1.0,))) == ""


def test_who_does_not_move_for_a_while_stands() -> None:
    standing = Standing()
    assert not standing.still(0.0, np.zeros(2)).any()
    assert not standing.still(0.03, np.zeros(2)).any(), "too short to tell"
    assert standing.still(0.07, np.array((0.0, 0.01))).tolist() == [True, False]
    assert standing.still(0.15, np.array((0.0, 0.01))).tolist() == [True, True]


def test_standing_is_forgotten_after_a_motion() -> None:
    standing = Standing()
    for k in range(20):
        still = standing.still(0.02 * k, np.array((0.01 * k,)))
    assert not still.any()


def test_what_is_missing_is_named() -> None:
    goal = {"joint1": 0.5, "gripper_aperture": 0.0}
    assert missing(goal, (0.49, 0.001), held=False) == ""
    assert missing(goal, (0.4, 0.001), held=False) == "joint1 is at 0.400, 0.100 from its goal"
    assert missing(goal, (0.5, 0.03), held=False).startswith("gripper_aperture is at 0.030")


def test_fingers_that_hold_something_have_arrived_but_none_that_do_not_open() -> None:
    assert missing({"gripper_aperture": 0.0}, (0.03,), held=True) == ""
    assert missing({"gripper_aperture": 0.07}, (0.03,), held=True) != ""
