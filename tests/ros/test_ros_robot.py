"""RosRobot against a real robot node's executor in this process, over DDS: the waits end and say why."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from ferry_ros.messages import diagnostics, qos
from ferry_ros.rclpy_support.ros_stamps import RosStamps
from ferry_ros.ros_robot import RobotStopped, RosRobot, RosRobotOptions, find_body
from rclpy.node import Node
from ros_graph import wait_until
from ros_inside import robot_node, spinning

from robots.command import Done, MoveBase, RotateBase
from robots.errors import BindError, ConnectionFailed, NotConnected, RobotError
from robots.execution.command_request import CommandResult
from robots.execution.freshness import Freshness
from robots.fakes.kinematic import FakeRobot
from robots.robot import Sent

QUICK = RosRobotOptions(kept=4, valid_for_s=1.0, connect_timeout_s=5.0, observe_timeout_s=0.8, motion_timeout_s=3.0)


def test_it_drives_the_robot_behind_the_topics() -> None:
    with robot_node() as (node, client):
        body = find_body(client, "stretch_re1", 5.0)
        assert body == node.robot.spec
        with RosRobot(client, body, QUICK) as robot, robot.driving():
            before = robot.observe()
            sent = robot.execute(MoveBase(0.2))
            assert sent.executed
            assert sent.command == MoveBase(0.2)
            after = robot.observe()
            assert after.stamp_ns > before.stamp_ns
            assert set(after.images) == {"navigation", "manipulation"}
            assert robot.observation(before.stamp_ns).images
            begun_s = time.monotonic()
            assert not robot.observation(1, 60.0).images  # a newer one is there: it is not waited for
            assert time.monotonic() - begun_s < 30.0
            assert isinstance(node.robot, FakeRobot)
            assert node.robot.pose == pytest.approx((0.2, 0.0, 0.0))
            assert robot.execute(Done()).executed
            robot.observe()
            assert robot.execute(MoveBase(3.0)).refused.startswith("base step of 3.000 m")
            robot.stop()
        with pytest.raises(NotConnected):
            robot.observe()


def test_each_observation_gives_one_motion_only() -> None:
    with robot_node() as (_, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot, robot.driving():
        robot.observe()
        assert robot.execute(RotateBase(0.1)).executed
        assert robot.execute(RotateBase(0.1)).refused.startswith("replayed: ")


def test_a_stopped_robot_is_an_error_for_whoever_drives_it() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        with robot.driving():
            robot.observe()
            node.executor_.stop("a person")
            with pytest.raises(RobotStopped, match="a person"):
                robot.execute(MoveBase(0.1))
        with robot.driving():
            robot.observe()
            node.executor_.runstop(True)
            with pytest.raises(RobotStopped, match="runstop: the runstop is on"):
                robot.execute(MoveBase(0.1))
        with pytest.raises(RobotStopped, match="does not grant a lease: runstop"), robot.driving():
            pytest.fail("nothing may move")


def test_a_stop_while_nothing_moves_is_reported_to_the_client() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        node.executor_.stop("before any trial")
        with robot.driving():
            robot.observe()
            node.executor_.stop("a person")
            with pytest.raises(RobotStopped, match="a person"):
                wait_until(lambda: not robot.observe())
        with robot.driving():
            robot.observe()


def test_without_a_lease_nothing_moves_and_one_drives_at_a_time() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        robot.observe()
        with pytest.raises(RobotStopped, match="no lease"):
            robot.execute(MoveBase(0.1))
        impatient = replace(QUICK, begin_timeout_s=0.3)
        with RosRobot(client, node.robot.spec, impatient) as other, robot.driving():
            with pytest.raises(RobotStopped, match="does not grant a lease: busy"), other.driving():
                pytest.fail("another drives")
            robot.observe()
            assert robot.execute(MoveBase(0.1)).executed


def test_a_result_counts_only_from_the_robot_that_was_asked() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        other = client.create_publisher(DiagnosticArray, "result", qos.EVERY)
        wait_until(lambda: other.get_subscription_count() > 0)
        with robot.driving():
            seen = robot.observe()
            foreign = CommandResult(seen.stamp_ns, Sent(MoveBase(0.2), refused="busy: not this robot"), lease="another")
            robot._node.create_timer(0.02, lambda: other.publish(diagnostics.result_msg(foreign)))
            assert robot.execute(MoveBase(0.2)).executed
        assert isinstance(node.robot, FakeRobot)
        assert node.robot.pose[0] == pytest.approx(0.2)


def test_no_new_observation_is_an_error_in_time() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        assert isinstance(node.robot, FakeRobot)
        node.robot.options = replace(node.robot.options, freeze_camera_after_s=0.0)
        time.sleep(0.5)  # until every image that was on its way has come
        robot.renew()
        began = time.monotonic()
        with pytest.raises(RobotError, match=r"no new observation for 0\.8 s after the last motion"):
            robot.observe()
        assert time.monotonic() - began >= 0.8


def test_without_a_robot_node_it_does_not_connect() -> None:
    with robot_node() as (_, client):
        body = find_body(client, "", 5.0)
        with pytest.raises(BindError, match="body of the robot node: got stretch_re1"):
            find_body(client, "locobot", 5.0)
    rclpy.init(args=["--ros-args", "-r", "__ns:=/empty"])
    client = Node("client")
    with spinning(client):
        with pytest.raises(ConnectionFailed, match="no node publishes /empty/embodiment"):
            find_body(client, "", 0.2)
        robot = RosRobot(client, body, RosRobotOptions(connect_timeout_s=0.2))
        with pytest.raises(ConnectionFailed, match="no node subscribes to /empty/command"):
            robot.connect()
        robot.stop()
    rclpy.try_shutdown()


def test_a_reset_begins_with_a_new_observation() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        old = robot.observe()
        node.executor_.restart(lambda: None)
        with robot.driving():
            assert robot.observe().stamp_ns > old.stamp_ns
            assert robot.execute(RotateBase(0.1)).executed


def test_a_result_that_is_none_is_an_error_and_does_not_end_the_listening() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        robot.observe()
        node._results.publish(DiagnosticArray())
        fault = "result statuses: got 0, expected exactly one"
        wait_until(lambda: robot._fault)
        with pytest.raises(RobotError, match=fault):
            robot.observe()
        with pytest.raises(RobotError, match=fault):
            robot.execute(Done())
        with robot.driving():
            robot.observe()
            assert robot.execute(RotateBase(0.1)).executed


def test_after_a_stop_it_sees_anew_and_moves_in_a_new_trial_alone() -> None:
    with robot_node() as (_, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        with robot.driving():
            old = robot.observe()
            robot.stop()
            assert robot.observe().stamp_ns > old.stamp_ns
            with pytest.raises(RobotStopped):
                robot.execute(RotateBase(0.1))
        with robot.driving():
            robot.observe()
            assert robot.execute(RotateBase(0.1)).executed


def test_a_robot_node_that_started_anew_after_the_clock_was_set_back_is_heard() -> None:
    with robot_node() as (node, client), RosRobot(client, find_body(client, "", 5.0), QUICK) as robot:
        before = robot.observe()
        first = RosStamps(node.get_clock())
        node.executor_._permission.fresh = Freshness(5.0, stamp=lambda sensed_ns: first.of(sensed_ns) - 3600 * 10**9)
        wait_until(lambda: robot.observe().stamp_ns < before.stamp_ns)
        with robot.driving():
            assert robot.observe().stamp_ns < before.stamp_ns
            assert robot.execute(MoveBase(0.2)).executed
            assert robot.observe().stamp_ns < before.stamp_ns
