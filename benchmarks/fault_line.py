"""The processes around one body, and what they tell."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fault_bodies import BODIES, FaultBody, Here, module, oscillation, started
from fault_proxy import Proxy
from fault_truth import Truth
from ferry_ros import convert, qos, report, services
from ferry_ros.spinner import Spinner
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robots.command import Command, JointTarget, MoveBase
from robots.errors import RobotError
from robots.order import Order, Result

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from bundles import write_tiny_bundle
from chunk_bundles import write_chunk_bundle

PERIOD_S = 0.5

HOME_S = 40.0
"""A body may be 2 m away, and every process stands still for as long as the clock was set back by."""

NAN_STEP = 6


@dataclass
class Line:
    """Everything around one body."""

    here: Here
    body: FaultBody
    server: subprocess.Popen[bytes]
    proxy: Proxy
    bundle: Path
    period_s: float = PERIOD_S
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    joints: dict[str, float] = field(default_factory=dict)
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    steps: int = 0
    told: list[tuple[float, str, str]] = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    truth: Truth = field(default_factory=Truth)

    def send(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a process."""
        (self.server if name == "server" else self.processes[name]).send_signal(number)

    def node(self, name: str, parameters: Mapping[str, object]) -> None:
        """Starts a node's process, in place of one that is gone."""
        words = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
        remap = ["-r", f"__ns:={self.here.node.get_namespace()}"]
        command = module(f"ferry_ros.{name}", "--ros-args", *remap, *words)
        with (self.here.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def serve(self) -> None:
        """Starts the policy server again."""
        self.server, self.proxy.target = serving(self.bundle)

    def robot(self) -> None:
        """Starts the fake, where there is one, and the robot node."""
        if self.body.fake and (self.here.fake is None or self.here.fake.poll() is not None):
            log = self.here.folder / "fake.log"
            # A fake stands for hardware, which has a processor of its own: it must not wait for those under test.
            # Real-time scheduling would do too much: two such fakes keep everything else waiting for half a second.
            first = ["nice", "-n", "-15"] if os.geteuid() == 0 else []
            self.here.fake = started([*first, *self.body.fake(self.here)], log, self.body.ready, stdin=True)
        chosen = {
            "control_period_s": self.period_s,
            "odom_rate_hz": 10.0 if self.body.fake else 50.0,  # a twin's truth is what its robot node tells
            "supervised": "true",
            **self.body.robot(self.here),
        }
        self.node("robot_node", chosen)

    def policy(self) -> None:
        """Starts the policy node."""
        self.node("policy_node", {"server_url": self.proxy.url, "autostart": "true", "instruction": "'find a mug'"})

    def trigger(self, service: str, timeout_s: float = 8.0) -> Any:
        """Calls a Trigger service."""
        return services.ask(self.here.node, Trigger, service, Trigger.Request(), timeout_s)

    def estop(self) -> None:
        """Presses the emergency stop on its topic."""
        self._estop.publish(Bool(data=True))

    def listen(self) -> None:
        """Subscribes to what the robot node and the policy node tell."""
        node = self.here.node
        node.create_subscription(DiagnosticArray, "result", self._take_result, qos.newest(100))
        node.create_subscription(DiagnosticArray, "policy_node/decision", self._take_step, qos.newest(100))
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take_told, qos.newest(100))
        node.create_subscription(JointState, "joint_states", self._take_state, qos.NEWEST)
        node.create_subscription(Odometry, "odom", self._take_pose, qos.NEWEST)
        self._estop = node.create_publisher(Bool, "estop", qos.EVERY)
        self._commands = node.create_publisher(JointTrajectory, "command", qos.NEWEST)
        self._trial = node.create_client(Trigger, "policy_node/run_trial")

    def _take_result(self, message: DiagnosticArray) -> None:
        self.results.append(report.result_of(message))

    def _take_step(self, message: DiagnosticArray) -> None:
        self.steps += 1

    def _take_told(self, message: DiagnosticArray) -> None:
        for one in message.status:
            said = report.values_of(one).get("last_stop") or one.message
            self.told.append((time.monotonic(), one.name.partition(":")[0], said))

    def reason(self, since_s: float) -> tuple[float, str]:
        """When, and what the robot node gave as the reason of its first stop after `since_s`; else another node's."""
        for name in ("robot_node", "supervisor_node", "policy_node"):
            said = [(at, text) for at, who, text in self.told if who == name]
            before = next((text for at, text in reversed(said) if at <= since_s), "")
            after = next(((at, text) for at, text in said if at > since_s and text != before), None)
            if after:
                return after
        return since_s, ""

    def _take_state(self, message: JointState) -> None:
        self.stamps_ns.append(convert.stamp_of(message.header))
        self.joints = dict(zip(message.name, message.position))

    def _take_pose(self, message: Odometry) -> None:
        self.pose = convert.pose_of(message)

    def do(self, command: Command) -> Result | None:
        """One command by hand, from the newest observation; None when no result comes."""
        seen = len(self.stamps_ns)
        if not wait(lambda: len(self.stamps_ns) > seen, 3.0):
            return None
        stamp_ns = self.stamps_ns[-1]
        self._commands.publish(convert.order_msg(Order(stamp_ns, command, PERIOD_S)))

        def found() -> Result | None:
            return next((one for one in self.results if one.stamp_ns == stamp_ns), None)

        wait(lambda: found() is not None, 8.0)
        return found()

    def home(self) -> None:
        """Brings the body to where it began, so that one try does not add to the next."""
        deadline = time.monotonic() + HOME_S
        while command := self._homeward():
            if time.monotonic() > deadline:
                told = f"{self.told[-3:]}, {self.results[-1:]}"
                raise TimeoutError(f"it does not come back to where it began: {told}")
            self.do(command)
            time.sleep(0.1)

    def _homeward(self) -> Command | None:
        if self.body.chunk is None:
            ahead = self.pose[0] - self.origin[0], self.pose[1] - self.origin[1]
            yaw = self.pose[2]
            way = ahead[0] * math.cos(yaw) + ahead[1] * math.sin(yaw)
            return None if abs(way) < 0.03 and self._answers() else MoveBase(max(-0.2, min(0.2, -way or 0.01)))
        arm = {name: value for name, value in self.start.items() if not name.startswith(("tip", "gripper"))}
        near = all(abs(self.joints[name] - value) < 0.01 for name, value in arm.items())
        return None if near and self._answers() else JointTarget(tuple(arm), tuple(arm.values()), 0.3)

    def _answers(self) -> bool:
        """Whether the robot executes a command that moves nothing much: it is free again."""
        if self.body.chunk is None:
            return bool((one := self.do(MoveBase(0.01))) and one.sent.executed)
        name = next(iter(self.start))
        return bool((one := self.do(JointTarget((name,), (self.start[name],), 0.1))) and one.sent.executed)

    def begin(self) -> Any:
        """Begins a trial and returns its future in the middle of its second motion."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            trial = self._try_to_begin()
            if not trial.done():
                return trial
            time.sleep(0.3)
        raise TimeoutError(f"no trial began: {trial.result()}, {self.told[-3:]}")

    def _try_to_begin(self) -> Any:
        """A trial whose first motion has ended; one that is done failed."""
        count, self.steps = len(self.results), 0
        if not self._trial.wait_for_service(20.0):
            raise TimeoutError("no policy node")
        trial = self._trial.call_async(Trigger.Request())
        wait(lambda: trial.done() or len(self.results) > count, 10.0)
        return trial

    def close(self) -> None:
        """Ends every process."""
        for process in [*self.processes.values(), self.server, self.here.fake]:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self.proxy.close()


def faulty_bundle(body: FaultBody, folder: Path) -> None:
    """A policy that drives back and forth, and answers NaN at step `NAN_STEP`."""
    if body.chunk is None:
        script = ("move_ahead", "move_back")
        write_tiny_bundle(folder, script=script, control_period_s=PERIOD_S, nan_at_step=NAN_STEP)
    else:
        script_ = oscillation(body.chunk)
        write_chunk_bundle(folder, body.chunk, script_, control_period_s=PERIOD_S, nan_at_step=NAN_STEP)


@contextmanager
def running(
    name: str, folder: Path, write: Callable[[FaultBody, Path], None] = faulty_bundle, period_s: float = PERIOD_S
) -> Iterator[Line]:
    """All processes of a body, ready for the first try; `write` writes the bundle that drives it."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.log"):
        old.unlink()
    body = BODIES[name]()
    bundle = folder / "bundle"
    write(body, bundle)
    rclpy.init()
    node = Node("faults", namespace=f"/{name}")
    spinner = Spinner(node)
    server, port = serving(bundle)
    line = Line(Here(folder, node), body, server, Proxy(port), bundle, period_s)
    try:
        line.listen()
        line.robot()
        line.node("supervisor_node", body.supervisor)
        line.policy()
        if not wait(lambda: len(line.stamps_ns) > 5, 60.0):
            raise TimeoutError(f"the robot node says nothing, see {folder}")
        time.sleep(1.0)
        line.start, line.origin = dict(line.joints), line.pose
        line.truth = body.truth(line.here)
        time.sleep(1.0)
        yield line
    finally:
        line.truth.close()
        line.close()
        spinner.close()
        try_shutdown()


def serving(bundle: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A policy server and its port."""
    # A policy node that is killed leaves its session open; many of them must not fill the server.
    command = module("policy_server.serve", str(bundle), "--port", "0", "--threads", "1", "--session-timeout-s", "30")
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    if " ready at " not in line:
        raise RobotError("the policy server did not start")
    return process, int(line.split()[-1].rpartition(":")[2].strip("/"))


def wait(condition: Callable[[], object], timeout_s: float) -> bool:
    """Whether `condition()` came to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
