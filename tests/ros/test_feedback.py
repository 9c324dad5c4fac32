"""What an arm behind ros2_control tells of itself is checked before it is believed: real nodes, over DDS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_arm import FakeArm, during, fake_arm, joints
from ferry_ros.drivers.ros2_control.driver import Ros2ControlArm
from intruder import Intruder, intruder, joints_at, record
from ros_graph import wait_until
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from robots.command import JointTarget, MoveJoint
from robots.embodiments.ros2_control_arms import UR5E
from robots.errors import ConnectionFailed
from robots.robot import Sent

PAN = "shoulder_pan_joint"
DISBELIEVED = ("two publishers: ", "feedback jumps: ")
OTHERS = tuple(name for name in UR5E.joints if name != PAN)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArm]:
    with fake_arm(tmp_path_factory.mktemp("arm"), rate_hz=100.0) as running:
        yield running


@pytest.fixture(scope="module")
def sent(fake: FakeArm) -> list[JointTrajectory]:
    """Everything that the arm's controller was ever sent in this file."""
    return record(fake.link, JointTrajectory, f"{UR5E.controller}/joint_trajectory")


@pytest.fixture(scope="module")
def robot(fake: FakeArm, sent: list[JointTrajectory]) -> Iterator[Ros2ControlArm]:
    with fake.robot(speed=0.3, camera_topic="") as connected:
        yield connected


@pytest.fixture
def liar(fake: FakeArm, robot: Ros2ControlArm) -> Iterator[Intruder]:
    with intruder(fake.namespace, JointState, "joint_states") as one:
        yield one


def check(sent: list[JointTrajectory]) -> None:
    """Every point that was ever sent is one that the arm may be sent."""
    for point, names in [(point, way.joint_names) for way in sent for point in way.points]:
        for name, at, speed in zip(names, point.positions, point.velocities):
            limits = UR5E.joints[name]
            assert limits.low <= at <= limits.high, (name, at)
            assert abs(speed) <= limits.max_speed, (name, speed)


def moved(robot: Ros2ControlArm, before: dict[str, float]) -> bool:
    return joints(robot)[PAN] > before[PAN] + 0.1


def until_heard(robot: Ros2ControlArm, liar: Intruder, message: JointState) -> None:
    """Once, or again where it was overtaken by a true one."""
    liar.once(message)
    for _ in range(20):
        if robot.health().fault:
            return
        time.sleep(0.005)
    until_heard(robot, liar, message)


def stood_still(robot: Ros2ControlArm, before: dict[str, float]) -> None:
    wait_until(lambda: not robot.health().fault, 10.0)
    after = joints(robot)
    assert [after[name] for name in OTHERS] == pytest.approx([before[name] for name in OTHERS], abs=1e-3)


def test_a_second_publisher_is_refused_by_name_when_connecting(fake: FakeArm) -> None:
    with intruder(fake.namespace, JointState, "joint_states", listens=False) as liar:
        liar.go_on(joints_at(0.0, OTHERS))
        with pytest.raises(ConnectionFailed, match=r"ur5e: (two publishers: .*joint_state_publisher|feedback jumps)"):
            fake.robot(camera_topic="").connect()


def test_zeros_of_a_second_node_end_the_motion_and_move_no_other_joint(
    robot: Ros2ControlArm, fake: FakeArm, sent: list[Any]
) -> None:
    before = joints(robot)
    with intruder(fake.namespace, JointState, "joint_states") as liar:
        zeros = joints_at(0.0, tuple(UR5E.joints))
        begun = during(robot, MoveJoint(PAN, 0.8), lambda: moved(robot, before), lambda: liar.go_on(zeros))
        assert begun.blocked.startswith(DISBELIEVED), begun
        later = [robot.execute(MoveJoint(PAN, 0.4 * sign)) for sign in (1, -1, 1, -1)]
        assert all(one.refused.startswith(DISBELIEVED) for one in later), later
        wait_until(lambda: "/joint_state_publisher" in robot.health().fault)
    check(sent)
    stood_still(robot, before)
    assert robot.execute(JointTarget((PAN,), (before[PAN],))).executed
    check(sent)


def test_another_node_may_publish_other_joints_on_the_same_topic(robot: Ros2ControlArm, liar: Intruder) -> None:
    liar.go_on(joints_at(0.5, ("some_other_joint",)))
    assert robot.execute(MoveJoint(PAN, 0.1)).executed
    assert robot.health().fault == ""


@pytest.mark.parametrize("value", [0.0, float("nan"), 215.0])
def test_one_wrong_message_is_reported_not_believed_and_over_after_a_while(
    robot: Ros2ControlArm, liar: Intruder, sent: list[Any], value: float
) -> None:
    wait_until(lambda: not robot.health().fault, 10.0)
    before = joints(robot)
    glitch = joints_at(value, OTHERS)
    ended = during(robot, MoveJoint(PAN, 0.8), lambda: moved(robot, before), lambda: until_heard(robot, liar, glitch))
    assert ended.blocked.startswith((*DISBELIEVED, "feedback impossible: shoulder_lift_joint at ", "feedback stale")), (
        ended
    )
    stood_still(robot, before)
    check(sent)
    assert robot.execute(JointTarget((PAN,), (before[PAN],))).executed


@pytest.mark.parametrize("way", [0.15, 0.29])
def test_a_stop_late_in_a_motion_ends_short_of_its_target(robot: Ros2ControlArm, way: float) -> None:
    wait_until(lambda: not robot.health().fault, 10.0)
    begun = joints(robot)[PAN]
    stopped: Sent = during(robot, MoveJoint(PAN, 0.3), lambda: joints(robot)[PAN] > begun + way, robot.stop)
    assert stopped.blocked in ("stopped", "")
    assert begun + way <= joints(robot)[PAN] <= begun + 0.3 + 0.002
    assert robot.execute(JointTarget((PAN,), (begun,))).executed
