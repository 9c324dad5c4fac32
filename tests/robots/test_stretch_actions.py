"""The driver, the real SDK and the fake together: each action moves the robot by what it says."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from support.stretch_fake import RunningFake, needs_sdk, running_fake

from robots.command import Grasp, JointTarget, LookAt, MoveBase, MoveJoint, Release, RotateBase, SetGripper
from robots.drivers.stretch.driver import StretchRE1
from robots.embodiments.stretch_re1 import ACTIONS
from robots.errors import NotConnected, RobotError

pytestmark = needs_sdk

STATE_OF = {"joint_lift": "lift", "joint_arm": "arm", "joint_wrist_yaw": "wrist_yaw"}
# Low lift, arm in, wrist folded in: the base may be fast.
STOWED = ("--lift-m", "0.28", "--arm-m", "0.02", "--wrist-yaw-rad", "3.0")


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningFake]:
    with running_fake(*STOWED) as running:
        yield running


@pytest.fixture(scope="module")
def robot(fake: RunningFake) -> Iterator[StretchRE1]:
    with StretchRE1(fake.options()) as connected:
        yield connected


def moves_of(actions: dict[str, object]) -> list[str]:
    """Names of the actions that move, out and back in turn, so that the robot ends where it began."""
    return [name for name, command in actions.items() if isinstance(command, (MoveBase, RotateBase, MoveJoint))]


@pytest.mark.parametrize("name", moves_of(dict(ACTIONS)))
def test_each_moving_action_moves_the_robot_by_what_it_says(fake: RunningFake, robot: StretchRE1, name: str) -> None:
    command = ACTIONS[name]
    if isinstance(command, MoveJoint) and command.joint == "joint_arm" and command.delta < 0:
        robot.execute(JointTarget(("joint_arm",), (0.02 - command.delta,)))
    before = fake.state()
    sent = robot.execute(command)
    after = fake.state()
    assert (sent.refused, sent.blocked, sent.clipped) == ("", "", ())
    moved = {key: after[key] - before[key] for key in ("lift", "arm", "wrist_yaw", "travelled_m", "turned_rad")}
    asked = dict.fromkeys(moved, 0.0)
    if isinstance(command, MoveBase):
        asked["travelled_m"] = command.distance_m
    elif isinstance(command, RotateBase):
        asked["turned_rad"] = command.angle_rad
    elif isinstance(command, MoveJoint):
        asked[STATE_OF[command.joint]] = command.delta
    for key, amount in asked.items():
        assert moved[key] == pytest.approx(amount, abs=0.01), key
    assert not after["moving"]


def test_actions_that_end_an_episode_move_nothing(fake: RunningFake, robot: StretchRE1) -> None:
    before = fake.state()
    for name in ("done", "sub_done"):
        assert robot.execute(ACTIONS[name]).executed
    assert fake.state() == before


def test_grasp_holds_an_object_until_release(fake: RunningFake, robot: StretchRE1) -> None:
    robot.execute(SetGripper(0.06))
    fake.tell("contact gripper=0.03")
    assert robot.execute(Grasp()).executed
    assert robot.observe().state["hand"][0] == 1.0
    assert fake.state()["stretch_gripper"] == pytest.approx(0.03, abs=0.003)
    robot.stop()  # what is held stays held
    assert robot.observe().state["hand"][0] == 1.0
    assert robot.execute(Release()).executed
    assert robot.observe().state["hand"][0] == 0.0
    fake.tell("clear")


def test_grasp_of_nothing_says_so(robot: StretchRE1) -> None:
    sent = robot.execute(Grasp())
    assert sent.blocked.startswith("nothing grasped: the fingertips are 0.00")
    assert robot.observe().state["hand"][0] == 0.0
    robot.execute(SetGripper(0.04))


def test_look_at_and_odometry(fake: RunningFake, robot: StretchRE1) -> None:
    assert robot.execute(LookAt(0.4, -0.3)).executed
    state = fake.state()
    assert (state["head_pan"], state["head_tilt"]) == pytest.approx((0.4, -0.3), abs=0.01)
    x, y, yaw = robot.pose
    robot.execute(MoveBase(0.1))
    there = robot.pose
    assert (there[0] - x, there[1] - y) == pytest.approx((0.1 * math.cos(yaw), 0.1 * math.sin(yaw)), abs=0.01)


def test_soft_limits_are_those_of_this_robot(robot: StretchRE1) -> None:
    joints = robot.spec.joints
    assert joints["joint_lift"].high == 1.095  # the table's, below the calibrated 1.10 m
    assert joints["gripper_aperture"].high == pytest.approx(0.0693, abs=1e-3)  # this gripper opens less than 0.09 m
    assert StretchRE1().spec.joints["gripper_aperture"].high == 0.09
    sent = robot.execute(SetGripper(0.09))
    assert sent.clipped == ("gripper_aperture",)
    assert sent.command == SetGripper(joints["gripper_aperture"].high)


def test_stop_ends_a_lift_motion_and_holds_it(fake: RunningFake, robot: StretchRE1) -> None:
    before = fake.state()["lift"]
    sents = []
    thread = threading.Thread(target=lambda: sents.append(robot.execute(MoveJoint("joint_lift", 0.1))))
    thread.start()
    fake.until("moving")
    robot.stop()
    robot.stop()
    thread.join()
    assert sents[0].blocked == "stopped"
    after = fake.state()["lift"]
    assert before < after < before + 0.09
    assert not fake.state()["moving"]
    assert robot.execute(MoveJoint("joint_lift", before - after)).executed


def test_unstable_base_is_slow_in_velocity_mode_too(fake: RunningFake, robot: StretchRE1) -> None:
    # Both wheels at 0.3 m/s are asked; https://github.com/hello-robot/stretch_body/issues/311
    robot.execute(JointTarget(("joint_arm",), (0.02,)))
    robot.execute(JointTarget(("joint_lift",), (0.28,)))
    assert robot.drive(0.3, 0.0) == (0.3, 0.0)
    robot.stop()
    robot.execute(JointTarget(("joint_lift",), (0.32,)))
    assert robot.drive(0.3, 0.0) == pytest.approx((0.1, 0.0))
    time.sleep(0.5)
    assert fake.state()["speed_mps"] <= 0.1 + 1e-6
    robot.stop()
    fake.until("moving", False)
    before = fake.state()["travelled_m"]
    assert robot.execute(MoveBase(-0.05)).executed  # positions work again after velocities
    assert fake.state()["travelled_m"] - before == pytest.approx(-0.05, abs=0.01)


@pytest.mark.parametrize("speeds", [(math.nan, 0.0), (0.0, math.inf)])
def test_velocities_that_are_not_finite_are_refused(robot: StretchRE1, speeds: tuple[float, float]) -> None:
    with pytest.raises(RobotError, match="expected finite numbers"):
        robot.drive(*speeds)


def test_observation_carries_both_images(fake: RunningFake, robot: StretchRE1) -> None:
    seen = robot.observe()
    assert {name: image.shape for name, image in seen.images.items()} == {
        "navigation": (90, 160, 3),
        "manipulation": (90, 160, 3),
    }
    assert not np.array_equal(seen.images["navigation"][20], seen.images["manipulation"][20])  # other walls
    assert seen.stamp_ns < robot.observe().stamp_ns < time.monotonic_ns()


def test_battery_and_voltage(fake: RunningFake, robot: StretchRE1) -> None:
    fake.tell("voltage 11.6")
    time.sleep(0.2)
    health = robot.health()
    assert health.battery == pytest.approx(0.5, abs=0.01)
    assert health.notes["voltage_v"] == pytest.approx(11.6, abs=0.01)
    assert (health.runstop, health.fault) == (False, "")
    fake.tell("voltage 12.4")


def test_nothing_works_before_connect() -> None:
    robot = StretchRE1()
    with pytest.raises(NotConnected):
        robot.observe()
    with pytest.raises(NotConnected):
        _ = robot.pose
    assert robot.health().fault.startswith("not connected")
    robot.stop()
    robot.disconnect()
