"""The fake's controller, ticked by hand: what it follows, what it rejects, how it stops."""

from __future__ import annotations

import numpy as np
import pytest
from ferry_ros.drivers.ros2_control.trajectory_msg import message
from ferry_ros.fakes.joint_controller import PATH_TOLERANCE, JointController
from ferry_ros.fakes.scene import stripes
from trajectory_msgs.msg import JointTrajectory

from robots.arms.trajectory import Trajectory
from robots.embodiment import JointLimits

NAMES, TICK_S = ("a", "b"), 0.01


def controller() -> JointController:
    return JointController(dict.fromkeys(NAMES, JointLimits(-1.0, 1.0, 2.0)), np.zeros(2), 4.0)


def way(*target: float, least_s: float = 1.0) -> JointTrajectory:
    return message(NAMES, Trajectory(np.array([0.0, least_s]), np.array([(0.0, 0.0), target]), np.zeros((2, 2))))


def tick(one: JointController, begin_s: float, end_s: float) -> str:
    reasons = [one.tick(at, TICK_S) for at in np.arange(begin_s + TICK_S, end_s + TICK_S / 2, TICK_S)]
    return "".join(reasons)


def test_it_follows_a_trajectory_smoothly_and_stops_at_its_end() -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    assert one.accept(way(0.4, -0.2), 0.0) == ""
    assert tick(one, 0.0, 0.5) == ""
    assert one.positions == pytest.approx([0.2, -0.1], abs=0.01)
    assert one.velocities == pytest.approx([0.6, -0.3], abs=0.02)
    assert tick(one, 0.5, 1.1) == ""
    assert one.positions == pytest.approx([0.4, -0.2])
    assert one.velocities.tolist() == [0.0, 0.0]


def test_a_new_trajectory_replaces_the_one_that_runs() -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    one.accept(way(0.8, 0.0), 0.0)
    tick(one, 0.0, 0.5)
    one.accept(way(0.0, 0.0), 0.5)
    tick(one, 0.5, 1.6)
    assert one.positions == pytest.approx([0.0, 0.0])


def test_points_without_velocities_are_joined_by_lines() -> None:
    one, asked = controller(), way(0.4, 0.4)
    asked.points[0].velocities = []
    one.tick(0.0, TICK_S)
    one.accept(asked, 0.0)
    tick(one, 0.0, 0.25)
    assert one.positions == pytest.approx([0.1, 0.1], abs=0.005)


def rejected(change: str) -> JointTrajectory:
    asked = message(NAMES, Trajectory(np.array([0.0, 1.0, 2.0]), np.zeros((3, 2)), np.zeros((3, 2))))
    if change == "no points":
        asked.points = []
    elif change == "another joint":
        asked.joint_names = ["a", "c"]
    elif change == "one joint":
        asked.joint_names = ["a"]
    elif change == "times":
        asked.points[1].time_from_start = asked.points[0].time_from_start
    elif change == "sizes":
        asked.points[1].positions = [0.0]
    return asked


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("no points", "empty trajectory received"),
        ("another joint", "joint c is not of this controller"),
        ("one joint", "joint b is missing"),
        ("times", "times of the points do not increase"),
        ("sizes", "a point has too few or too many numbers"),
    ],
)
def test_what_is_wrong_is_rejected_and_what_runs_goes_on(change: str, reason: str) -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    one.accept(way(0.4, 0.4), 0.0)
    tick(one, 0.0, 0.5)
    assert one.accept(rejected(change), 0.5) == reason
    tick(one, 0.5, 1.1)
    assert one.positions == pytest.approx([0.4, 0.4])


def test_an_inactive_controller_slows_down_stops_and_ignores() -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    one.accept(way(0.8, 0.0), 0.0)
    tick(one, 0.0, 0.5)
    one.deactivate(0.5)
    assert one.accept(way(0.0, 0.0), 0.5) == "the controller is not active"
    tick(one, 0.5, 1.5)
    assert 0.4 < one.positions[0] < 0.61  # 1.2 rad/s at 4 rad/s^2 is 0.18 rad
    at_rest = one.positions.copy()
    one.activate()
    tick(one, 1.5, 2.0)
    assert one.positions.tolist() == at_rest.tolist()


def test_joints_are_no_faster_than_their_drives_and_falling_behind_aborts() -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    one.accept(way(1.0, 0.0, least_s=0.1), 0.0)
    assert tick(one, 0.0, 1.0).startswith("path tolerance: ")
    assert one.positions[0] < 1.0 - PATH_TOLERANCE
    assert one.velocities.tolist() == [0.0, 0.0]


def test_no_joint_goes_beyond_its_stop() -> None:
    one = controller()
    one.tick(0.0, TICK_S)
    one.accept(way(1.1, 0.0, least_s=2.0), 0.0)
    assert tick(one, 0.0, 3.0) == ""
    assert one.positions[0] == 1.0


def test_an_image_changes_with_the_robot_and_has_noise() -> None:
    assert stripes(8, 12, (0.1,), 1).shape == (8, 12, 3)
    assert (stripes(8, 12, (0.1,), 1) == stripes(8, 12, (0.1,), 1)).all()
    assert (stripes(8, 12, (0.1,), 1) != stripes(8, 12, (0.1,), 2)).any()
    assert np.abs(stripes(8, 12, (0.1,)).astype(int) - stripes(8, 12, (0.4,))).max() > 50
