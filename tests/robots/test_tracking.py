"""Tracking error, settling, and error at the goal."""

import numpy as np

from robots.arms.tracking import SettleDetector, goal_error, tracking_error
from robots.arms.trajectory import through

NAMES = ("joint1",)
PATH = through((0.0,), [(1.0,)], 2.0, (9.0,))


def test_a_joint_that_is_late_is_no_contact() -> None:
    late = PATH.at(1.0 - 0.45)
    assert tracking_error(PATH, 1.0, NAMES, late) == ""


def test_a_joint_at_rest_while_its_trajectory_goes_on_is_a_contact() -> None:
    text = tracking_error(PATH, 1.2, NAMES, np.array((0.0,)))
    assert text.startswith("contact: joint1 is 0.3")
    assert "for 0.5 s" in text


def test_a_joint_ahead_of_its_trajectory_is_reported_too() -> None:
    assert tracking_error(PATH, 1.0, NAMES, np.array((0.9,))).startswith("contact: joint1 is 0.4")


def test_an_arm_without_a_trajectory_has_no_tracking_error() -> None:
    assert tracking_error(None, 2.1, NAMES, np.array((1.0,))) == ""


def test_a_joint_that_does_not_move_for_a_while_has_settled() -> None:
    detector = SettleDetector()
    assert not detector.settled(0.0, np.zeros(2)).any()
    assert not detector.settled(0.03, np.zeros(2)).any(), "too short a history"
    assert detector.settled(0.07, np.array((0.0, 0.01))).tolist() == [True, False]
    assert detector.settled(0.15, np.array((0.0, 0.01))).tolist() == [True, True]


def test_a_moving_joint_has_not_settled() -> None:
    detector = SettleDetector()
    for k in range(20):
        still = detector.settled(0.02 * k, np.array((0.01 * k,)))
    assert not still.any()


def test_joint_short_of_its_goal_is_named() -> None:
    goal = {"joint1": 0.5, "gripper_aperture": 0.0}
    assert goal_error(goal, (0.49, 0.001), held=False) == ""
    assert goal_error(goal, (0.4, 0.001), held=False) == "joint1 is at 0.400, 0.100 from its goal"
    assert goal_error(goal, (0.5, 0.03), held=False).startswith("gripper_aperture is at 0.030")


def test_fingers_that_hold_something_have_arrived_but_none_that_do_not_open() -> None:
    assert goal_error({"gripper_aperture": 0.0}, (0.03,), held=True) == ""
    assert goal_error({"gripper_aperture": 0.07}, (0.03,), held=True) != ""
