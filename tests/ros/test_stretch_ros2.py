"""The Stretch through its vendor's driver: every action, over DDS, with the fake driver in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fake_stretch import FakeStretch, fake_stretch
from ferry_ros import robot_registry
from ferry_ros.drivers.stretch.driver import StretchRos2, StretchRos2Options, speed_limited

from robots.command import (
    Done,
    Grasp,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
)
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import ACTIONS, STRETCH_RE1
from robots.errors import NotConnected


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStretch]:
    with fake_stretch(tmp_path_factory.mktemp("stretch"), pace=3.0) as running:
        yield running


@pytest.fixture(scope="module")
def robot(fake: FakeStretch) -> Iterator[StretchRos2]:
    with fake.robot() as connected:
        yield connected


def joints(robot: StretchRos2) -> dict[str, float]:
    return dict(zip(robot.spec.state["joints"].names, robot.observe().state["joints"].tolist()))


def held(robot: StretchRos2) -> bool:
    return bool(robot.observe().state["hand"][0])


def test_it_is_a_body_of_the_robot_node() -> None:
    body = robot_registry.body("stretch_re1_ros2")
    made = body.create(body.options())
    assert body.prefix == "stretch_ros2."
    assert made.spec == STRETCH_RE1
    assert made.health().fault == "not connected"


def test_before_connect_nothing_works(fake: FakeStretch) -> None:
    unconnected = fake.robot()
    unconnected.stop()
    unconnected.disconnect()
    with pytest.raises(NotConnected):
        unconnected.observe()
    with pytest.raises(NotConnected):
        unconnected.execute(Done())


def test_its_limits_are_those_of_this_robot_where_they_are_tighter(robot: StretchRos2) -> None:
    assert robot.spec.joints["joint_arm"].high == pytest.approx(0.515)  # the fake's calibration; 0.52 in the table
    assert robot.spec.joints["joint_wrist_yaw"].high == 4.0  # the table's; 4.586 in the fake
    assert Embodiment.from_json(robot.spec.to_json()) == robot.spec
    sent = robot.execute(MoveJoint("joint_arm", -0.1))
    assert (sent.clipped, sent.command) == (("joint_arm",), MoveJoint("joint_arm", 0.0))


def test_health_reports_the_battery_and_no_fault(robot: StretchRos2) -> None:
    health = robot.health()
    assert (health.fault, health.runstop, health.battery) == ("", False, None)
    assert health.notes["voltage_v"] == pytest.approx(12.6)


@pytest.mark.parametrize("name", [name for name, command in ACTIONS.items() if isinstance(command, MoveJoint)])
def test_an_action_moves_its_joint_by_its_step_and_nothing_else(robot: StretchRos2, name: str) -> None:
    command = ACTIONS[name]
    assert isinstance(command, MoveJoint)
    if joints(robot)[command.joint] + command.delta < robot.spec.joints[command.joint].low:
        robot.execute(MoveJoint(command.joint, -command.delta))
    before, pose = joints(robot), robot.pose
    assert robot.execute(command).executed
    after = joints(robot)
    assert after.pop(command.joint) - before.pop(command.joint) == pytest.approx(command.delta, abs=0.02)
    assert after == pytest.approx(before, abs=0.002)
    assert robot.pose == pytest.approx(pose, abs=1e-3)


@pytest.mark.parametrize("name", [name for name, command in ACTIONS.items() if isinstance(command, MoveBase)])
def test_an_action_drives(robot: StretchRos2, name: str) -> None:
    command, (x, y, yaw) = ACTIONS[name], robot.pose
    assert isinstance(command, MoveBase)
    assert robot.execute(command).executed
    ahead = (robot.pose[0] - x) * math.cos(yaw) + (robot.pose[1] - y) * math.sin(yaw)
    assert ahead == pytest.approx(command.distance_m, abs=0.03)
    assert robot.pose[2] == pytest.approx(yaw, abs=0.01)


@pytest.mark.parametrize("name", [name for name, command in ACTIONS.items() if isinstance(command, RotateBase)])
def test_an_action_turns(robot: StretchRos2, name: str) -> None:
    command, (x, y, yaw) = ACTIONS[name], robot.pose
    assert isinstance(command, RotateBase)
    assert robot.execute(command).executed
    assert math.remainder(robot.pose[2] - yaw, math.tau) == pytest.approx(command.angle_rad, abs=0.03)
    assert robot.pose[:2] == pytest.approx((x, y), abs=0.01)


def test_pickup_holds_what_is_between_the_fingers_through_a_stop_until_dropoff(robot: StretchRos2) -> None:
    assert robot.execute(SetGripper(0.08)).executed
    assert not held(robot)
    assert robot.execute(Grasp()).executed
    assert held(robot)
    assert joints(robot)["gripper_aperture"] == pytest.approx(0.04, abs=0.002)
    robot.stop()
    assert robot.execute(MoveJoint("joint_wrist_yaw", -0.1)).executed
    assert held(robot)  # the driver's own stop takes the force away; it was given back
    assert robot.execute(Release()).executed
    assert not held(robot)
    assert joints(robot)["gripper_aperture"] == pytest.approx(0.09, abs=0.005)


def test_pickup_of_nothing_says_so_and_opens_again(robot: StretchRos2, fake: FakeStretch) -> None:
    fake.set(object_m=0.0)
    try:
        assert robot.execute(SetGripper(0.05)).executed
        assert robot.execute(Grasp()).blocked == "nothing held: the fingers closed on nothing"
        assert not held(robot)
        assert joints(robot)["gripper_aperture"] == pytest.approx(0.05, abs=0.005)
    finally:
        fake.set(object_m=0.04)


def test_the_head_looks_and_a_joint_it_lacks_is_refused_by_name(robot: StretchRos2) -> None:
    assert robot.execute(LookAt(-0.5, -0.4)).executed
    seen = joints(robot)
    assert (seen["joint_head_pan"], seen["joint_head_tilt"]) == pytest.approx((-0.5, -0.4), abs=0.03)
    assert "no joint 'joint_elbow'" in robot.execute(MoveJoint("joint_elbow", 0.1)).refused


def test_what_is_observed_was_sensed_after_the_motion(robot: StretchRos2) -> None:
    before = robot.observe()
    robot.execute(MoveJoint("joint_wrist_yaw", -0.1))
    after = robot.observe()
    assert after.stamp_ns > before.stamp_ns
    wrist = robot.spec.state["joints"].names.index("joint_wrist_yaw")
    assert after.state["joints"][wrist] - before.state["joints"][wrist] == pytest.approx(-0.1, abs=0.02)
    assert {name: image.shape for name, image in after.images.items()} == {
        "navigation": (45, 80, 3),
        "manipulation": (45, 80, 3),
    }


def test_the_base_is_slow_unless_the_arm_is_stowed() -> None:
    base = STRETCH_RE1.base
    assert base is not None
    stowed = {"joint_lift": 0.2, "joint_arm": 0.0, "joint_wrist_yaw": 3.4}
    assert speed_limited(base, stowed) == base
    for out in ({"joint_lift": 0.3}, {"joint_arm": 0.03}, {"joint_wrist_yaw": 2.5}):
        slow = speed_limited(base, {**stowed, **out})
        assert (slow.max_speed_mps, slow.max_decel_mps2) == (0.10, 0.15)
        assert slow.max_turn_radps == pytest.approx(0.634, abs=1e-3)
    assert speed_limited(base, {**stowed, "joint_arm": 0.1}, fraction=0.5).max_speed_mps == 0.05
    crawling = replace(base, max_speed_mps=0.01)
    assert speed_limited(crawling, {**stowed, "joint_arm": 0.1}).max_speed_mps == 0.01


def test_a_slower_body_says_so_before_it_is_connected() -> None:
    slow = StretchRos2(StretchRos2Options(speed=0.5))
    assert slow.spec.joints["joint_lift"].max_speed == 0.075
    assert slow.spec.base is not None
    assert slow.spec.base.max_speed_mps == 0.15
