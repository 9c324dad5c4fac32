"""How long a robot moves on after something failed, over ROS 2 on this machine: a table of planted faults.

    python benchmarks/ros_stops.py BUNDLE

Each round starts a policy server, a robot node with the kinematic fake at the Stretch's top speeds and a policy node as
processes of their own, waits until the base is in the middle of a motion, and plants one fault. Measured on the robot
node's clock: when the base stood for good, and how many motions began after the fault; there must be none.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from diagnostic_msgs.msg import DiagnosticArray
from ferry_ros import convert, qos, report, services
from nav_msgs.msg import Odometry
from rclpy.node import Node
from ros_latency import cpu, listening, ros_node, serving
from std_srvs.srv import SetBool, Trigger

from ferry.graph import isolated

PERIOD_S = 0.5
STILL = 1e-4  # a pose that changed less [m or rad] is the same


@dataclass(frozen=True)
class Benchmark:
    """Plants faults."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to serve; its actions are drawn at random."""
    rounds: int = 5
    """How often each fault is planted."""
    threads: int = 1
    """Threads of one inference."""
    logs: Path = Path("/tmp/ferry_ros_stops")
    """Folder of the processes' logs."""


@dataclass
class Heard:
    """What the robot node told: poses with their time [s], when motions began [s], reasons of stops."""

    poses: list[tuple[float, tuple[float, float, float]]] = field(default_factory=list)
    began_s: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def take_pose(self, message: Odometry) -> None:
        """Hears a pose."""
        self.poses.append((convert.stamp_of(message.header) / 1e9, convert.pose_of(message)))

    def take_result(self, message: DiagnosticArray) -> None:
        """Hears a result."""
        result = report.result_of(message)
        if result.began_ns > 0:
            self.began_s.append(result.began_ns / 1e9)

    def take_state(self, message: DiagnosticArray) -> None:
        """Hears why it stopped last."""
        for one in message.status:
            if "robot_node" in one.name:
                self.reasons.append(report.values_of(one)["last_stop"])

    def moving(self) -> bool:
        """Whether the last two poses differ."""
        return len(self.poses) > 1 and _differ(self.poses[-1][1], self.poses[-2][1])

    def stood_s(self) -> float:
        """When the pose changed last."""
        pairs = zip(self.poses, self.poses[1:])
        return max(at for (_, before), (at, now) in pairs if _differ(before, now))


@dataclass
class Round:
    """The processes of one round."""

    server: subprocess.Popen[str]
    policy: subprocess.Popen[bytes]
    node: Node


Fault = Callable[[Round], object]
FAULTS: dict[str, Fault] = {
    "policy server: kill -9": lambda now: now.server.send_signal(signal.SIGKILL),
    "policy server: SIGSTOP": lambda now: now.server.send_signal(signal.SIGSTOP),
    "policy node: kill -9": lambda now: now.policy.send_signal(signal.SIGKILL),
    "policy node: SIGSTOP": lambda now: now.policy.send_signal(signal.SIGSTOP),
    "policy node: Ctrl-C": lambda now: now.policy.send_signal(signal.SIGINT),
    "a person: stop": lambda now: services.ask(now.node, Trigger, "stop", Trigger.Request(), 5.0),
    "a person: runstop": lambda now: services.ask(now.node, SetBool, "runstop", SetBool.Request(data=True), 5.0),
}


def main() -> None:
    """Plants every fault and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    os.environ.update(isolated())
    args.logs.mkdir(parents=True, exist_ok=True)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"control period {PERIOD_S} s; the base at 0.3 m/s or 1.9 rad/s, {args.rounds} rounds each\n")
    print(f"{'fault during a motion':<26}{'stood after [s]':>22}{'motions begun after':>22}  reason")
    print(f"{'':<26}{'median':>11}{'worst':>11}")
    for name, fault in FAULTS.items():
        rounds = [plant(fault, args) for _ in range(args.rounds)]
        stood = sorted(one[0] for one in rounds)
        after = sum(one[1] for one in rounds)
        print(f"{name:<26}{stood[len(stood) // 2]:11.2f}{stood[-1]:11.2f}{after:22d}  {rounds[0][2]}")


def plant(fault: Fault, args: Benchmark) -> tuple[float, int, str]:
    """One round: seconds until the base stood, motions begun after the fault, and the reason of the stop."""
    with ExitStack() as stack:
        url, server = stack.enter_context(serving(args))
        fake = {"robot": "fake", "control_period_s": PERIOD_S, "odom_rate_hz": 50.0}
        stack.enter_context(ros_node("robot_node", args, fake))
        drive = {"server_url": url, "autostart": "true", "sampling": "uniform", "instruction": "'find a mug'"}
        policy = stack.enter_context(ros_node("policy_node", args, {**drive, "control_period_s": PERIOD_S}))
        node, heard = stack.enter_context(listening()), Heard()
        node.create_subscription(Odometry, "odom", heard.take_pose, qos.newest(100))
        node.create_subscription(DiagnosticArray, "result", heard.take_result, qos.newest(100))
        node.create_subscription(DiagnosticArray, "/diagnostics", heard.take_state, qos.newest(100))
        under_way(node, heard)
        fault_s = time.monotonic()
        fault(Round(server, policy, node))
        time.sleep(4 * PERIOD_S)
        after = sum(began > fault_s for began in heard.began_s)
        return max(0.0, heard.stood_s() - fault_s), after, heard.reasons[-1]


def under_way(node: Node, heard: Heard) -> None:
    """Returns in the middle of a motion of the base, starting trials until there is one."""
    client = node.create_client(Trigger, "policy_node/run_trial")
    deadline = time.monotonic() + 60.0
    trial = None
    while not (heard.moving() and len(heard.began_s) > 1):
        if time.monotonic() > deadline:
            raise TimeoutError("nothing moved within 60 s")
        if client.service_is_ready() and (trial is None or trial.done()):
            trial = client.call_async(Trigger.Request())
        time.sleep(0.005)


def _differ(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    return max(abs(one - other) for one, other in zip(a, b)) > STILL


if __name__ == "__main__":
    main()
