"""How long it takes from an observation to the motion decided from it, over ROS 2 on this machine.

    python -m benchmarks.ros.ros_latency BUNDLE
    python -m benchmarks.ros.ros_latency BUNDLE --camera 720 1280 --whole-frames    frames and views, trial by trial

A policy server, a robot node with the kinematic fake (its motions take no time) and a policy node run as processes of
their own, as on a robot; this process counts. The age of an observation when its motion begins is measured by the robot
node on one clock: sensing, two DDS hops, the policy node, the server and its network are all in it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import rclpy
import tyro
from diagnostic_msgs.msg import DiagnosticArray
from ferry_ros.messages import diagnostics, qos
from ferry_ros.messages.steps import step_of
from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.spinner import Spinner
from rclpy.node import Node
from std_srvs.srv import Trigger

from benchmarks.machine import cpu
from evaluation.step import Step
from ferry.graph import isolated
from policy_server.client import PolicyClient
from policy_server.manifest import PolicyManifest
from robots.execution.command_request import CommandResult

NAMESPACE = "/latency"
VIEWS, WHOLE = "what the network sees travels", "whole frames travel"


@dataclass(frozen=True)
class Benchmark:
    """Measures one bundle."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to serve."""
    steps: int = 300
    """Decisions that are measured."""
    warm_up: int = 20
    """Decisions before, not measured."""
    threads: int = 0
    """Threads of one inference; 0 for one per core."""
    camera: tuple[int, int] | None = None
    """Height and width of the robot's images; none: the policy's own."""
    whole_frames: bool = False
    """Every other trial sends the cameras' whole frames to the server, in place of what the network sees."""
    logs: Path = Path("/tmp/ferry_ros_latency")
    """Folder of the processes' logs."""


class Options(Protocol):
    """What the processes need to know."""

    @property
    def bundle(self) -> Path:
        """The bundle to serve."""

    @property
    def threads(self) -> int:
        """Threads of one inference; 0 for one per core."""

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""


@dataclass
class Counts:
    """What was heard: every step of the policy node, also by the way its trial sent images, and every result."""

    steps: list[Step] = field(default_factory=list)
    ways: dict[str, list[Step]] = field(default_factory=dict)
    results: list[CommandResult] = field(default_factory=list)

    def take_step(self, message: DiagnosticArray) -> None:
        """Hears a step."""
        self.steps.append(step_of(message))

    def take_result(self, message: DiagnosticArray) -> None:
        """Hears a result."""
        self.results.append(diagnostics.result_of(message))


def main() -> None:
    """Runs the benchmark and prints a table."""
    args = tyro.cli(Benchmark, description=__doc__)
    os.environ.update(isolated())
    args.logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url, _ = stack.enter_context(serving(args))
        with PolicyClient(url) as client:
            manifest = client.manifest()
        stack.enter_context(ros_node("robot_node", args, robot_parameters(manifest, args.camera)))
        script = Path(__file__).with_name("whole_frames_node.py") if args.whole_frames else None
        stack.enter_context(ros_node("policy_node", args, policy_parameters(url), script))
        counts, node = Counts(), stack.enter_context(listening())
        node.create_subscription(DiagnosticArray, "policy_node/decision", counts.take_step, qos.newest(100))
        node.create_subscription(DiagnosticArray, "result", counts.take_result, qos.newest(100))
        measure(node, counts, args)
    print_table(counts, manifest, args)


def robot_parameters(manifest: PolicyManifest, size: tuple[int, int] | None = None) -> dict[str, object]:
    """A fake whose cameras have `size`, or the policy's, in an arena that it does not leave."""
    camera, period_s = manifest.spec.cameras[0], manifest.spec.control_period_s
    height, width = size or (camera.height, camera.width)
    fake = {"fake.height": height, "fake.width": width, "fake.real_time": "false", "fake.arena_m": 1e6}
    return {"robot": "fake", "control_period_s": period_s, **fake}


def policy_parameters(url: str) -> dict[str, object]:
    """A random policy, so that it does not stay in one place; it says done sooner or later."""
    return {"server_url": url, "autostart": "true", "sampling": "uniform", "instruction": "'find a mug'"}


def measure(node: Node, counts: Counts, args: Benchmark) -> None:
    """Runs trial after trial, each with another seed, until every way has enough steps."""
    client = node.create_client(Trigger, "policy_node/run_trial")
    deadline, seed = time.monotonic() + 60.0, 0
    ways = counts.ways = {way: [] for way in (VIEWS, *([WHOLE] if args.whole_frames else []))}
    while min(len(steps) for steps in ways.values()) < args.warm_up + args.steps:
        way, heard = list(ways)[seed % len(ways)], len(counts.steps)
        values: dict[str, object] = {"seed": seed}
        services.set_parameters(node, "policy_node", values, 30.0)
        answer = services.call(client, Trigger.Request(), 600.0)
        seed += 1
        time.sleep(0.5)  # until its last steps and results are heard
        ways[way] += counts.steps[heard:]
        if not answer.success and time.monotonic() > deadline and not all(ways.values()):
            sys.exit(f"no trial within 60 s: {answer.message}; logs in {args.logs}")


def print_table(counts: Counts, manifest: PolicyManifest, args: Benchmark) -> None:
    """Prints the machine, and for each way one row per part."""
    cameras = ", ".join(f"{one.name} {one.height}x{one.width}" for one in manifest.spec.cameras)
    images = "the policy's size" if args.camera is None else f"{args.camera[0]}x{args.camera[1]}"
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"Python {platform.python_version()}, ROS 2 wheels, Fast DDS; bundle {manifest.name}; {cameras}")
    print(f"images of the robot: {images}; control period {manifest.spec.control_period_s} s")
    for way, steps in counts.ways.items():
        print_way(way, steps[args.warm_up :][: args.steps], counts.results)


def print_way(way: str, steps: Sequence[Step], heard: Sequence[CommandResult]) -> None:
    """Prints the rows of the steps whose images were sent one way."""
    stamps = {step.decision.stamp_ns for step in steps}
    results = [result for result in heard if result.stamp_ns in stamps]
    print(f"\n{way}: {len(steps)} decisions\n{'[ms]':<48}{'p50':>9}{'p99':>9}{'max':>9}")
    rows = {
        "observation to motion (age when it begins)": [r.age_s for r in results if r.age_s and r.began_ns > 0],
        "  policy node: decision asked and answered": [step.timing_s["decide"] for step in steps],
        "  policy server: whole request": [step.decision.timing_s["total"] for step in steps],
        "  policy server: inference": [step.decision.timing_s["inference"] for step in steps],
        "  policy node: command sent, result received": [step.timing_s["execute"] for step in steps],
    }
    for name, seconds in rows.items():
        print(row(name, seconds))
    late = sum(step.late for step in steps)
    stale = sum(result.sent.refused.startswith("stale") for result in results)
    print(f"deadline misses: {late} late at the policy node, {stale} stale at the robot node, of {len(steps)}")


def row(name: str, seconds: Sequence[float]) -> str:
    """One line of the table [ms]."""
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return f"{name:<48}{p50:9.2f}{p99:9.2f}{max(seconds) * 1000:9.2f}"


@contextmanager
def serving(args: Options) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs `ferry serve` on a free port until the block ends; yields its URL and its process."""
    command = [sys.executable, "-m", "policy_server.serve", str(args.bundle), "--port", "0"]
    with subprocess.Popen([*command, "--threads", str(args.threads)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if " ready at " not in line:
            sys.exit("ferry serve did not start")
        try:
            yield line.split()[-1], process
        finally:
            process.kill()


@contextmanager
def ros_node(
    name: str, args: Options, parameters: Mapping[str, object], script: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a node, or `script` in its place, as a process until the block ends."""
    words = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    what = [str(script)] if script else ["-m", f"ferry_ros.nodes.{name}"]
    command = [sys.executable, *what, "--ros-args", "-r", f"__ns:={NAMESPACE}", *words]
    with (args.logs / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # one that was stopped by a planted fault
                process.kill()


@contextmanager
def listening() -> Iterator[Node]:
    """A node that is spun in another thread until the block ends."""
    rclpy.init()
    node = Node("latency", namespace=NAMESPACE)
    spinner = Spinner(node)
    try:
        yield node
    finally:
        spinner.close()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
