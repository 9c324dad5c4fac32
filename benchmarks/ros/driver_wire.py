"""How long a decision takes from the executor to the driver's own wire, for each fake.

    python -m benchmarks.ros.driver_wire

The fake runs as a process of its own; executor and driver run here, and a listener notes when the driver's first word
of the motion is on the wire: a CAN frame, a DDS message, bytes on the socket. stretch_body's serial lines have no
listener: there it is when the fake's motor begins to turn, up to 4 ms after its word. The way from the policy node to
the executor, over DDS, is in benchmarks/ros/ros_latency.py.
"""

from __future__ import annotations

import os
import platform
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
import tyro
from ferry_ros import robot_registry
from ferry_ros.messages import qos
from ferry_ros.rclpy_support.spinner import Spinner
from geometry_msgs.msg import Twist
from rclpy.node import Node
from rclpy.utilities import try_shutdown
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from benchmarks.faults.bodies import BODIES, FaultBody, Here, started
from benchmarks.machine import cpu
from benchmarks.ros.ros_latency import row
from robots.command import Command, JointTarget, MoveBase
from robots.drivers.piper.can_bus import open_bus
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executor import Executor, ExecutorOptions
from robots.observation import Observation
from robots.processes.control_socket import tell

DRIVERS = ("stretch_re1", "stretch_re1_ros2", "locobot_pyrobot", "locobot_interbotix", "piper", "ros2_control_arm")


@dataclass(frozen=True)
class Benchmark:
    """Measures drivers."""

    drivers: tuple[str, ...] = DRIVERS
    """Of those that have a fake."""
    tries: int = 50
    """Motions a driver."""
    alone: bool = False
    """Measure the one driver here, in this process."""


@dataclass
class Wire:
    """When something of the driver's was last heard after `since_s`."""

    since_s: float = float("inf")
    heard_s: float = 0.0
    heard: threading.Event = field(default_factory=threading.Event)

    def take(self, *_: Any) -> None:
        """Something is on the wire."""
        now = time.monotonic()
        if now >= self.since_s and not self.heard.is_set():
            self.heard_s = now
            self.heard.set()

    def begin(self) -> None:
        """From now on the first word counts."""
        self.heard.clear()
        self.since_s = time.monotonic()


def main() -> None:
    """Measures every driver and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    if args.alone:
        print(row(args.drivers[0], measure(args.drivers[0], args.tries)))
        return
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"{args.tries} motions each\n\n{'executor to wire [ms]':<48}{'p50':>9}{'p99':>9}{'max':>9}", flush=True)
    for driver in args.drivers:  # each in a process of its own: some SDKs leave threads behind
        os.spawnl(
            os.P_WAIT,
            sys.executable,
            sys.executable,
            "-m",
            "benchmarks.ros.driver_wire",
            "--alone",
            "--tries",
            str(args.tries),
            "--drivers",
            driver,
        )


def measure(name: str, tries: int) -> list[float]:
    """Seconds from the executor to the wire, for each motion."""
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 101))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    with ExitStack() as stack:
        stack.callback(try_shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = Node("wire", namespace=f"/{name}")
        here, body = Here(folder, node), BODIES[name]()
        assert body.fake is not None
        fake = started(body.fake(here), folder / "fake.log", body.ready, stdin=True)
        stack.callback(fake.kill)
        wire = Wire()
        robot = _robot(name, body, here, wire)
        LISTEN[name](here, wire, robot)
        stack.callback(Spinner(node).close)
        return Mover(robot, wire).run(tries)


def _robot(name: str, body: FaultBody, here: Here, wire: Wire) -> Any:
    """The driver, with the options that a robot node would give it."""
    chosen = dict(body.robot(here))
    if name == "locobot_pyrobot":
        chosen["pyrobot.address"] = _tapped(str(chosen["pyrobot.address"]), wire)
    one = robot_registry.body(name)
    return one.create(one.options(**{k[len(one.prefix) :]: v for k, v in chosen.items() if k.startswith(one.prefix)}))


class Mover:
    """Gives orders to an executor with the driver, back and forth."""

    def __init__(self, robot: Any, wire: Wire) -> None:
        self._wire, self._newest = wire, Observation(-1, {})
        self._ended = threading.Event()
        self._executor = Executor(
            robot,
            ExecutorOptions(0.5, 0.1),
            on_observation=lambda seen: setattr(self, "_newest", seen),
            on_result=self._take,
        )
        self._robot, self._lease = robot, ""

    def run(self, tries: int) -> list[float]:
        """Seconds from the executor to the wire."""
        took = []
        with self._executor:
            time.sleep(1.0)
            for number in range(tries):
                self._ended.clear()
                with suppress(RobotError):  # it is held still: no stop has ended it
                    self._lease = self._executor.begin()
                command = self._command(1 if number % 2 else -1)
                time.sleep(0.15)  # a driver repeats its last word for a while
                self._wire.begin()
                self._executor.submit(CommandRequest(self._newest.stamp_ns, command, 0.5, self._lease))
                if self._wire.heard.wait(5.0):
                    took.append(self._wire.heard_s - self._wire.since_s)
                self._wire.since_s = float("inf")
                self._ended.wait(10.0)
                time.sleep(0.6)  # zeros that follow a motion
        return took

    def _take(self, result: CommandResult) -> None:
        if not result.sent.executed:
            print(f"not executed: {result.sent.refused or result.sent.blocked}", file=sys.stderr)
        self._ended.set()

    def _command(self, way: int) -> Command:
        if self._robot.spec.base is not None:
            return MoveBase(0.03 * way)
        spec = self._robot.spec.state["joints"]
        joint = next(name for name in spec.names if name in self._robot.spec.joints)
        here = float(self._newest.state["joints"][spec.names.index(joint)])
        return JointTarget((joint,), (here + 0.05 * way,), 0.2)


def _listen_topics(*topics: tuple[type, str]) -> Callable[[Here, Wire, Any], None]:
    def listen(here: Here, wire: Wire, _: Any) -> None:
        for kind, topic in topics:
            here.node.create_subscription(kind, topic, wire.take, qos.newest(10))

    return listen


def _listen_can(here: Here, wire: Wire, robot: Any) -> None:
    bus = open_bus(robot.options.channel, robot.options.interface)

    def listen() -> None:
        while True:
            message = bus.recv(1.0)
            if message is not None and 0x155 <= message.arbitration_id <= 0x157:
                wire.take()

    threading.Thread(target=listen, daemon=True).start()


def _poll_stretch(here: Here, wire: Wire, robot: Any) -> None:
    fleet = here.folder / "fleet"

    def poll() -> None:
        while True:
            with suppress(ConnectionError):
                if tell(fleet, "state")["moving"]:
                    wire.take()
            time.sleep(0.0005)

    threading.Thread(target=poll, daemon=True).start()


def _tapped(address: str, wire: Wire) -> str:
    """The address of a proxy that notes when a motion is asked for."""
    host, _, port = address.rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if asks and b'"drive"' in data:
                    wire.take()
                sink.sendall(data)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((host, int(port)))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, False), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


LISTEN: dict[str, Callable[[Here, Wire, Any], None]] = {
    "stretch_re1": _poll_stretch,
    "stretch_re1_ros2": _listen_topics((Twist, "/stretch/cmd_vel"), (Float64MultiArray, "/joint_pose_cmd")),
    "locobot_pyrobot": lambda here, wire, robot: None,  # the proxy listens
    "locobot_interbotix": _listen_topics((Twist, "/locobot/mobile_base/commands/velocity")),
    "piper": _listen_can,
    "ros2_control_arm": _listen_topics((JointTrajectory, "/scaled_joint_trajectory_controller/joint_trajectory")),
}


if __name__ == "__main__":
    main()
