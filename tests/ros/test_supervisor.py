"""The supervisor, the emergency stop and the modes: real processes over DDS."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import rclpy
from ferry_ros.messages import qos
from ferry_ros.nodes import supervisor_node
from ferry_ros.nodes.supervisor_node import SupervisorNode
from ferry_ros.rclpy_support import services
from geometry_msgs.msg import Twist
from ros_graph import PERIOD_S, Graph, graph, wait_until
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from robots.command import Command, MoveBase
from robots.execution.command_request import CommandRequest, CommandResult

STEP = MoveBase(0.2)


def do(here: Graph, command: Command = STEP) -> CommandResult:
    """Gives an order made from the newest observation; returns its result."""
    stamp_ns = start(here, command)

    def answers() -> list[CommandResult]:
        return [result for result in here.watcher.results if result.stamp_ns == stamp_ns]

    wait_until(answers)
    return answers()[0]


def start(here: Graph, command: Command = STEP) -> int:
    """Gives an order made from the newest observation, in a new trial where one may begin; returns its stamp."""
    here.watcher.begin()
    seen = len(here.watcher.stamps_ns)
    wait_until(lambda: len(here.watcher.stamps_ns) > seen)
    stamp_ns = here.watcher.stamps_ns[-1]
    here.watcher.order(CommandRequest(stamp_ns, command, PERIOD_S))
    return stamp_ns


def under_way(here: Graph) -> float:
    """Starts a motion; returns in its middle: the time then."""
    before = here.watcher.pose()[0]

    def begun() -> bool:
        start(here)
        with suppress(AssertionError):
            wait_until(lambda: here.watcher.pose()[0] > before + 0.03, 2.0)
        return here.watcher.pose()[0] > before + 0.03

    wait_until(begun, 20.0)
    return time.monotonic()


def until_allowed(here: Graph) -> None:
    wait_until(lambda: do(here, MoveBase(0.01)).sent.executed, 15.0)


def press(here: Graph, value: bool) -> None:
    """Publishes on the e-stop's topic."""
    publisher = here.watcher.create_publisher(Bool, "estop", qos.EVERY)
    wait_until(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(Bool(data=value))
    time.sleep(0.2)


def cleared(here: Graph) -> bool:
    """Asks the supervisor to clear; False where nobody answers, as when it took a killed one's service for the new."""
    future = here.watcher.call_async("supervisor_node/clear")
    with suppress(AssertionError):
        wait_until(future.done, 3.0)
    return future.done() and future.result().success


def test_nothing_moves_without_a_supervisor_where_one_is_asked_for(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(supervised=True)
        here.ready()
        assert do(here).sent.refused == "supervisor lost: it was not heard yet"
        here.supervisor()
        until_allowed(here)


def test_the_emergency_stop_is_latched_until_it_is_cleared_on_purpose(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.supervisor()
        robot = here.robot(supervised=True)
        here.ready()
        until_allowed(here)
        pressed_s = under_way(here)
        assert here.watcher.call("supervisor_node/estop").success
        time.sleep(2.5 * PERIOD_S)
        assert here.watcher.last_moved_s() < pressed_s + 2 * PERIOD_S
        at_rest = here.watcher.pose()
        press(here, False)  # a message that says "no" clears nothing
        assert "pressed" in do(here).sent.refused  # as the supervisor says, or by the robot node's own latch
        here.watcher.call("runstop", False)  # nor does the robot node's own latch
        assert "pressed" in do(here).sent.refused
        robot.send(signal.SIGKILL)  # nor does a robot node that is started again
        robot.process.wait()
        here.robot(supervised=True)
        wait_until(lambda: here.watcher.odometry[-1][0] > time.monotonic() - 0.1, 20.0)
        wait_until(lambda: not do(here).sent.refused.startswith("supervisor lost"))  # it is being discovered
        assert "pressed" in do(here).sent.refused
        assert here.watcher.call("supervisor_node/clear").success
        until_allowed(here)
        assert at_rest != here.watcher.pose()
        assert here.watcher.heard("supervisor_node", "e-stop: pressed by its service")


def test_the_emergency_stop_outlives_the_supervisor(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        supervisor = here.supervisor()
        here.robot(supervised=True)
        here.ready()
        until_allowed(here)
        assert here.watcher.call("supervisor_node/estop").success
        wait_until(lambda: here.watcher.heard("robot_node", "runstop: the emergency stop was pressed"))
        supervisor.send(signal.SIGKILL)
        supervisor.process.wait()
        here.supervisor()
        wait_until(lambda: do(here).sent.refused == "runstop: the emergency stop was pressed", 15.0)
        wait_until(lambda: cleared(here), 30.0)
        until_allowed(here)


@pytest.mark.parametrize("when", ["before the robot node is asked", "while it answers"])
def test_pressing_while_it_is_cleared_is_not_lost(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    rclpy.init()
    node = SupervisorNode()
    try:
        node._serve_estop(Trigger.Request(), Trigger.Response())
        asked = []

        def press_meanwhile(*_: object) -> None:
            node._serve_estop(Trigger.Request(), Trigger.Response())

        def answer(*_: object, **__: object) -> SetBool.Response:
            asked.append("runstop")
            if when == "while it answers":
                press_meanwhile()
            return SetBool.Response(success=True)

        monkeypatch.setattr(services, "call", answer)
        monkeypatch.setattr(supervisor_node.time, "sleep", press_meanwhile if when.startswith("before") else id)
        answered = node._serve_clear(Trigger.Request(), Trigger.Response())
        assert (answered.success, answered.message) == (
            False,
            "the emergency stop stays on: it was pressed in the meantime",
        )
        assert node.reason == "e-stop: pressed by its service"
        assert bool(asked) == (when == "while it answers")
    finally:
        node.close("test")
        node.destroy_node()
        rclpy.try_shutdown()


def test_the_topic_stops_with_or_without_a_supervisor(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot()
        here.ready()
        pressed_s = under_way(here)
        press(here, True)
        time.sleep(2 * PERIOD_S)
        assert here.watcher.last_moved_s() < pressed_s + 2 * PERIOD_S
        assert do(here).sent.refused == "runstop: the emergency stop was pressed"
        here.watcher.call("runstop", False)
        until_allowed(here)


def test_a_supervisor_that_dies_stops_the_robot_and_another_one_lets_it_move(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        supervisor = here.supervisor()
        here.robot(supervised=True, permit_timeout_s=0.3)
        here.ready()
        until_allowed(here)
        killed_s = under_way(here)
        supervisor.send(signal.SIGKILL)
        wait_until(lambda: here.watcher.heard("robot_node", "supervisor lost: not heard for"))
        time.sleep(PERIOD_S)
        assert here.watcher.last_moved_s() < killed_s + 2 * PERIOD_S
        assert "supervisor lost" in do(here).sent.refused
        supervisor.process.wait()
        here.supervisor()
        until_allowed(here)


def test_a_robot_node_that_dies_has_its_controllers_told_to_stop(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        halts: list[Twist] = []
        here.watcher.create_subscription(Twist, "/vendor/cmd_vel", halts.append, qos.EVERY)
        here.supervisor(halt_cmd_vel="/vendor/cmd_vel")
        robot = here.robot()
        here.ready()
        time.sleep(1.0)
        assert halts == []
        killed_s = time.monotonic()
        robot.send(signal.SIGKILL)
        wait_until(lambda: len(halts) > 10)
        assert time.monotonic() < killed_s + 3.0
        assert all(halt == Twist() for halt in halts)
        assert here.watcher.heard("supervisor_node", "robot_node fell silent")


def test_a_policy_node_that_freezes_stops_what_it_drives(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(heartbeat_timeout_s=0.3, **{"fake.speed": 0.5})
        here.ready()
        start(here)
        wait_until(lambda: here.watcher.pose()[0] > 0.03)
        lease = here.watcher.lease
        here.watcher.freeze()
        wait_until(lambda: here.watcher.heard("robot_node", "policy heartbeat lost: not heard for"))
        wait_until(lambda: here.watcher.results)
        result = here.watcher.results[-1]
        assert (result.sent.blocked, result.stopped[:21]) == ("stopped", "policy heartbeat lost")
        here.watcher.order(CommandRequest(here.watcher.stamps_ns[-1], STEP, PERIOD_S, lease))  # it is there again
        wait_until(lambda: here.watcher.results[-1] is not result)
        assert here.watcher.results[-1].sent.refused.startswith("lease ended: policy heartbeat lost")
        assert do(here).sent.executed  # in a new trial


def test_shadow_computes_and_sends_nothing(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(mode="shadow")
        here.ready()
        result = do(here)
        assert result.sent.refused == "shadow: nothing is sent to the robot"
        assert not result.stopped
        assert do(here, MoveBase(9.0)).sent.refused.startswith("base step of 9.000 m is beyond")
        assert here.watcher.pose() == (0.0, 0.0, 0.0)


def test_slow_moves_at_a_share_of_the_speed(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(mode="slow", slow_speed=0.5)
        here.ready()
        result = do(here)
        assert result.sent.executed
        assert result.duration_s >= 2 * 0.2 / 0.3


def test_a_mode_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        robot = here.robot(mode="careful")
        assert robot.process.wait(15) == 1
        assert "mode: got 'careful', expected one of shadow, slow, full" in robot.text()
