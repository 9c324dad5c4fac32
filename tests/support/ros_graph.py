"""A real ROS graph for tests: nodes as processes of their own, and a node in this process that watches them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ferry_ros.messages import convert, diagnostics, qos
from ferry_ros.rclpy_support.heartbeat import Heartbeat
from ferry_ros.rclpy_support.spinner import Spinner
from hardware import FIRST
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult

ROOT = Path(__file__).parents[2]
PERIOD_S = 0.5
"""Control period of the graphs in these tests."""

MOVING_M = 1e-4
"""A base that moved less between two odometry messages is at rest."""


class NodeProcess:
    """One node as a process, with its log."""

    def __init__(
        self,
        module: str,
        log: Path,
        namespace: str,
        before: Sequence[str] = (),
        stdin: int | None = None,
        runner: Sequence[str] = (),
        **parameters: object,
    ) -> None:
        self.log = log
        assignments = [part for name, value in parameters.items() for part in ("-p", _assignment(name, value))]
        command = [
            *(FIRST if module.startswith("fakes.") else ()),
            *runner,
            sys.executable,
            "-m",
            f"ferry_ros.{module if module.startswith('fakes.') else f'nodes.{module}'}",
            *before,
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
            *assignments,
        ]
        path = os.pathsep.join((str(ROOT), str(ROOT / "ros2_ws" / "src" / "ferry_ros")))
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
            )

    def text(self) -> str:
        """What it wrote so far."""
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit status, after SIGINT if it still runs, after SIGKILL if that does not end it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(8)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Watcher(Node):
    """Watches a robot node, gives it orders by hand, and calls services.

    Attributes:
        odometry: (monotonic seconds, (x, y, yaw)) of every odometry message.
        results: of every order.
        stamps_ns: of every observation, in ROS time.
        reported: (monotonic seconds, name, message) of every diagnostic.
    """

    def __init__(self, namespace: str) -> None:
        super().__init__("watcher", namespace=namespace)
        self.odometry: list[tuple[float, tuple[float, float, float]]] = []
        self.results: list[CommandResult] = []
        self.stamps_ns: list[int] = []
        self.reported: list[tuple[float, str, str]] = []
        self.create_subscription(Odometry, "odom", self._odom, qos.NEWEST)
        self.create_subscription(DiagnosticArray, "result", self._result, qos.EVERY)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostic, qos.EVERY)
        self.create_subscription(JointState, "joint_states", self._state, qos.NEWEST)
        self._commands = self.create_publisher(JointTrajectory, "command", qos.NEWEST)
        self._beats = self.create_publisher(DiagnosticStatus, "policy_heartbeat", qos.EVERY)
        self._heartbeat: Heartbeat | None = None
        self.lease = ""

    def begin(self) -> bool:
        """Takes the robot's lease and keeps it alive, as a trial does; False where none is handed out now."""
        answer, deadline = None, time.monotonic() + 60.0
        while answer is None:  # a request may go to a node that was killed, whom discovery has not forgotten yet
            with suppress(AssertionError):
                answer = self.call("begin", timeout_s=3.0)
            assert answer is not None or time.monotonic() < deadline, "the robot node does not answer"
        if answer.success:
            self.let_go()
            self.lease = answer.message
            self._heartbeat = Heartbeat(self._beats, "watcher", self.lease)
        return bool(answer.success)

    def freeze(self) -> None:
        """Falls silent without giving the lease back, as a process does that is frozen."""
        if self._heartbeat:
            self._heartbeat.fall_silent()
        self._heartbeat = None

    def let_go(self) -> None:
        """Gives the lease back."""
        if self._heartbeat:
            self._heartbeat.end()
        self._heartbeat = None

    def order(self, order: CommandRequest) -> None:
        """Publishes `order` by hand, under the lease at hand where it has none."""
        wait_until(lambda: self._commands.get_subscription_count() > 0)
        self._commands.publish(convert.request_msg(replace(order, lease=order.lease or self.lease)))

    def call(self, service: str, request: Any = None, timeout_s: float = 20.0) -> Any:
        """Calls a Trigger (or, with a bool, a SetBool) service and returns its response."""
        future = self.call_async(service, request)
        wait_until(future.done, timeout_s)
        return future.result()

    def call_async(self, service: str, request: Any = None) -> Any:
        """Calls a service; returns the future of its response."""
        kind = Trigger if request is None else SetBool
        client = self.create_client(kind, service)
        assert client.wait_for_service(15.0), f"nobody offers {service}"
        return client.call_async(Trigger.Request() if request is None else SetBool.Request(data=request))

    def set(self, node: str, **parameters: object) -> None:
        """Sets parameters of another node."""
        client = self.create_client(SetParameters, f"{node}/set_parameters")
        assert client.wait_for_service(15.0)
        messages = [Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()]
        future = client.call_async(SetParameters.Request(parameters=messages))
        wait_until(future.done)
        assert all(one.successful for one in future.result().results), future.result()

    def pose(self) -> tuple[float, float, float]:
        """The newest pose."""
        return self.odometry[-1][1]

    def began_s(self) -> list[float]:
        """When each motion so far began, in monotonic seconds, as the robot node says."""
        return [result.began_ns / 1e9 for result in self.results if result.began_ns > 0]

    def last_moved_s(self) -> float:
        """When the odometry last differed from the one before."""
        pairs = list(zip(self.odometry, self.odometry[1:]))
        return max(at for (_, before), (at, now) in pairs if max(abs(a - b) for a, b in zip(before, now)) > MOVING_M)

    def moving(self) -> bool:
        """Whether the newest two odometry messages differ."""
        return (
            len(self.odometry) > 1 and max(abs(a - b) for a, b in zip(*(p for _, p in self.odometry[-2:]))) > MOVING_M
        )

    def heard(self, name: str, words: str) -> float | None:
        """When a diagnostic of `name` first had `words`; None when it did not."""
        return next((at for at, who, message in list(self.reported) if name in who and words in message), None)

    def _odom(self, message: Odometry) -> None:
        self.odometry.append((monotonic_s(convert.stamp_of(message.header)), convert.pose_of(message)))

    def _result(self, message: DiagnosticArray) -> None:
        with suppress(RobotError):  # not from a robot node
            self.results.append(diagnostics.result_of(message))

    def _state(self, message: JointState) -> None:
        self.stamps_ns.append(convert.stamp_of(message.header))

    def _diagnostic(self, message: DiagnosticArray) -> None:
        for one in message.status:
            extra = diagnostics.values_of(one).get("last_stop", "")
            self.reported.append((time.monotonic(), one.name, f"{one.message} {extra}"))


class Graph:
    """Processes in one namespace and a watcher, started and ended together."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder, self.namespace = folder, namespace
        self.processes: dict[str, NodeProcess] = {}
        self.watcher = Watcher(namespace)

    def robot(self, **parameters: object) -> NodeProcess:
        """Starts a robot_node with the fake body."""
        return self._start(
            "robot_node",
            {
                "robot": "fake",
                "control_period_s": PERIOD_S,
                "heartbeat_timeout_s": 3.0,
                "permit_timeout_s": 3.0,
                **parameters,
            },
        )

    def policy(self, server_url: str, **parameters: object) -> NodeProcess:
        """Starts a policy_node that drives the robot node."""
        chosen = {
            "server_url": server_url,
            "autostart": True,
            "instruction": "find a mug",
            "server_timeout_s": 3.0,
            **parameters,
        }
        return self._start("policy_node", chosen)

    def supervisor(self, **parameters: object) -> NodeProcess:
        """Starts a supervisor_node."""
        return self._start("supervisor_node", parameters)

    def recorder(self, **parameters: object) -> NodeProcess:
        """Starts a recorder_node and waits until it has subscribed."""
        process = self._start("recorder_node", parameters)
        wait_until(lambda: self.watcher.heard("recorder_node", "waiting for a trial"), 60.0, process)
        return process

    def watch(self, **parameters: object) -> NodeProcess:
        """Starts a watch_node and waits until viewers can see something."""
        process = self._start("watch_node", parameters)
        wait_until(lambda: "://" in process.text(), 60.0, process)
        return process

    def ready(self, timeout_s: float = 20.0) -> None:
        """Waits until the robot node has spoken and the policy node, if there is one, is active."""
        wait_until(lambda: self.watcher.odometry and self.watcher.stamps_ns, timeout_s, self.processes["robot_node"])
        if "policy_node" in self.processes:
            wait_until(lambda: self.watcher.heard("policy_node", "active"), timeout_s, self.processes["policy_node"])

    def _start(self, module: str, parameters: dict[str, object]) -> NodeProcess:
        process = NodeProcess(module, self._folder / f"{module}.log", self.namespace, **parameters)
        self.processes[module] = process
        return process


@contextmanager
def graph(folder: Path) -> Iterator[Graph]:
    """A graph in a namespace of its own; every process has ended when the context ends."""
    rclpy.init()
    graph = Graph(folder, "/t" + folder.name.translate(str.maketrans("-.[]", "____")))
    spinner = Spinner(graph.watcher)
    try:
        yield graph
    finally:
        graph.watcher.let_go()
        for process in reversed(graph.processes.values()):
            process.end()
        spinner.close()
        rclpy.try_shutdown()


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0, process: NodeProcess | None = None) -> None:
    """Returns once `condition()` holds; fails, with the process's log, when it does not or the process ended."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        ended = process is not None and process.process.poll() is not None
        log = process.text() if process else ""
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s} s {log}"
        assert not ended, f"the process ended: {log}"
        time.sleep(0.01)


def newest(here: Graph, kind: Any, topic: str, profile: Any = qos.NEWEST, timeout_s: float = 30.0) -> Any:
    """The next message on `topic`, or the latched one."""
    heard: list[Any] = []
    subscription = here.watcher.create_subscription(kind, topic, heard.append, profile)
    wait_until(lambda: heard, timeout_s)
    here.watcher.destroy_subscription(subscription)
    return heard[-1]


def monotonic_s(stamp_ns: int) -> float:
    """Monotonic seconds of a stamp in ROS time; the nodes' clocks are this machine's."""
    return stamp_ns / 1e9 - time.time() + time.monotonic()


def _assignment(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return f"{name}:={text}"
