"""The fake follows the Robot protocol and fails where a real robot fails."""

import math
import threading
import time

import numpy as np
import pytest

from robots.command import Done, Grasp, JointTarget, LookAt, MoveBase, MoveJoint, Release, RotateBase, SetGripper
from robots.errors import NotConnected
from robots.fakes.kinematic import FakeOptions, FakeRobot

INSTANT = FakeOptions(real_time=False)


def test_the_spec_is_readable_before_connect() -> None:
    robot = FakeRobot(FakeOptions(height=112, width=192))
    assert {(c.height, c.width) for c in robot.spec.cameras} == {(112, 192)}


@pytest.mark.parametrize("operation", ["observe", "execute"])
def test_nothing_works_before_connect(operation: str) -> None:
    robot = FakeRobot(INSTANT)
    with pytest.raises(NotConnected, match=rf"{operation}\(\) was called before connect"):
        robot.observe() if operation == "observe" else robot.execute(MoveBase(0.1))


def test_an_observation_fits_the_spec() -> None:
    with FakeRobot(INSTANT) as robot:
        observation = robot.observe()
        for camera in robot.spec.cameras:
            camera.check(observation.images[camera.name])
        for group, spec in robot.spec.state.items():
            spec.check(observation.state[group], group)
        assert robot.observe().stamp_ns > observation.stamp_ns


def test_it_drives_and_turns_as_commanded() -> None:
    with FakeRobot(INSTANT) as robot:
        robot.execute(RotateBase(math.radians(30)))
        robot.execute(MoveBase(0.2))
        np.testing.assert_allclose(robot.pose, (0.2 * math.cos(math.pi / 6), 0.1, math.pi / 6), atol=1e-9)


def test_turning_changes_what_it_sees() -> None:
    with FakeRobot(INSTANT) as robot:
        before = robot.observe().images["navigation"]
        for _ in range(3):
            robot.execute(RotateBase(math.radians(30)))
        assert (robot.observe().images["navigation"] != before).any()


def test_a_move_into_the_wall_is_blocked_and_moves_nothing() -> None:
    with FakeRobot(FakeOptions(real_time=False, arena_m=0.3)) as robot:
        assert robot.execute(MoveBase(0.2)).executed
        pose = robot.pose
        sent = robot.execute(MoveBase(0.2))
        assert sent.blocked == "contact with the arena wall"
        assert not sent.executed
        assert robot.pose == pose


def test_joints_gripper_and_head_reach_their_targets() -> None:
    with FakeRobot(INSTANT) as robot:
        robot.execute(JointTarget(("joint_lift", "joint_arm"), (0.5, 0.1)))
        robot.execute(MoveJoint("joint_lift", 0.1))
        robot.execute(SetGripper(0.05))
        robot.execute(LookAt(0.3, -0.4))
        robot.execute(Done())
        assert robot.positions["joint_lift"] == pytest.approx(0.6)
        assert robot.positions["gripper_aperture"] == 0.05
        assert robot.positions["joint_head_pan"] == 0.3


def test_limits_hold() -> None:
    with FakeRobot(INSTANT) as robot:
        assert "beyond the longest" in robot.execute(MoveJoint("joint_arm", 3.0)).refused
        robot.execute(JointTarget(("joint_arm",), (0.5,)))
        sent = robot.execute(MoveJoint("joint_arm", 0.1))
        assert sent.clipped == ("joint_arm",)
        assert robot.positions["joint_arm"] == pytest.approx(0.52)
        assert robot.execute(MoveBase(math.nan)).refused


def test_holding_shows_in_the_state() -> None:
    with FakeRobot(INSTANT) as robot:
        robot.execute(Grasp())
        assert robot.observe().state["hand"] == [1.0]
        robot.execute(Release())
        assert robot.observe().state["hand"] == [0.0]


def test_a_stop_ends_a_motion_within_the_deceleration() -> None:
    with FakeRobot(FakeOptions(speed=0.1)) as robot:
        timer = threading.Timer(0.1, robot.stop)
        timer.start()
        start = time.monotonic()
        sent = robot.execute(RotateBase(math.radians(30)))
        timer.join()
        assert sent.blocked == "stopped"
        assert not robot.moving
        assert 0.0 < robot.pose[2] < math.radians(30)
        assert time.monotonic() - start < 3.0  # of the 9 that it takes


def test_a_stop_with_nothing_under_way_does_not_spoil_the_next_command() -> None:
    with FakeRobot(INSTANT) as robot:
        robot.stop()
        robot.stop()
        assert robot.execute(MoveBase(0.1)).executed


def test_a_frozen_camera_repeats_the_old_stamp() -> None:
    with FakeRobot(FakeOptions(real_time=False, freeze_camera_after_s=0.0)) as robot:
        first = robot.observe()
        robot.execute(RotateBase(0.5))
        assert robot.observe() is first


def test_an_unplugged_camera_raises() -> None:
    with FakeRobot(FakeOptions(real_time=False, fail_observe_after_s=0.0)) as robot:
        time.sleep(0.001)
        with pytest.raises(ConnectionError, match="unplugged"):
            robot.observe()
