"""Pause and jump where one chunk meets the next, and how well the arm tracks, at 5, 10, 20 and 30 Hz: chunks that join
against chunks that end at rest, with the policy asked in between, and against naive switching.

    python -m benchmarks.arms.chunk_joins --out runs/chunk_joins.jsonl
    python -m benchmarks.arms.chunk_joins --simulated  # undisturbed by a busy machine: planner, join and models alone
    python -m benchmarks.arms.chunk_joins --stops 20   # and the time to stop during a chunk and during a join

The arm runs behind its executor in this process, in real time; its fake is a process of its own where it has one. The
policy foresees a path of one joint, each chunk with an error of its own, after a delay drawn evenly. Ways are
interleaved: for each arm and rate, one run of each in turn. Pause: for how long around a join the commanded speed is
below a tenth of the path's mean. Jumps: of the command from one millisecond to the next, around the joins; in position,
what three times the mean speed makes of a millisecond is no jump; none for an arm whose driver sends plans in parts.
Naive switching is computed from the same chunks: their rows played as they come. Tracking: measured joint against the
path, behind its best constant delay.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.arms.joins.arms import ARMS, TRAVEL_RAD, Arm, path
from benchmarks.arms.joins.simulated import MODELS, Simulation, vector_of
from benchmarks.arms.joins.trace import F64, naive_jumps
from evaluation.runner import Runner
from evaluation.step import Step
from policy_server.decision import Decision
from policy_server.policy import PolicySession
from robots.binding import Binding, bind
from robots.command import Chunk
from robots.execution.executed_robot import ExecutedRobot
from robots.execution.executor import ExecutorOptions
from robots.observation import Observation
from robots.spec import EMPTY_VECTOR, ContinuousActions, PolicySpec

ROWS, EXECUTED = 16, 8


@dataclass(frozen=True)
class Benchmark:
    """Measures arms."""

    arms: tuple[str, ...] = ("piper_twin", "piper", "ros2_control_arm")
    rates_hz: tuple[float, ...] = (5.0, 10.0, 20.0, 30.0)
    chunks: int = 16
    """Of each run."""
    delay_s: tuple[float, float] = (0.05, 0.12)
    """Of the policy."""
    error_rad: float = 0.003
    """Standard deviation of a chunk's own error."""
    simulated: bool = False
    """In simulated time, which a busy machine does not disturb: without executor, threads and wire."""
    stops: int = 0
    """Tries of a stop during a chunk and during a join."""
    seed: int = 0
    out: Path | None = None
    """File for the figures, one JSON object a line."""


@dataclass
class Foresight(PolicySession):
    """A policy: rows along a path of the first joint."""

    binding: Binding
    period_s: float
    benchmark: Benchmark
    begun_ns: int = 0
    start: list[float] = field(default_factory=list)
    chunks: list[tuple[int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.benchmark.seed)

    @property
    def speed(self) -> float:
        """Mean speed of the path [rad/s]."""
        return TRAVEL_RAD / (self.benchmark.chunks * EXECUTED * self.period_s)

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """The next rows: from the observation's time on, or from where the last chunk ended at rest."""
        if not self.begun_ns:
            self.begun_ns, self.start = observation.stamp_ns, observation.state["joints"].tolist()
        done_s = len(self.chunks) * EXECUTED * self.period_s
        actions = self.binding.policy.actions
        joins = isinstance(actions, ContinuousActions) and actions.joins
        since_s = (observation.stamp_ns - self.begun_ns) / 1e9 if joins else done_s
        rows = np.tile(np.array(self.start, dtype=np.float64), (ROWS, 1))
        error = self.random.normal(0.0, self.benchmark.error_rad)
        rows[:, 0] += path(since_s + self.period_s * np.arange(1, ROWS + 1), self.speed)
        rows[:, 0] += error * np.linspace(0.2, 1.0, ROWS)
        time.sleep(self.random.uniform(*self.benchmark.delay_s))
        self.chunks.append((observation.stamp_ns, rows))
        return Decision(observation.stamp_ns, len(self.chunks) - 1, chunk=rows.astype(np.float32), valid_for_s=1.5)


@dataclass
class Noted:
    """A subscriber that notes when each chunk was taken."""

    taken_s: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def on_start(self) -> None:
        """Nothing."""

    def on_step(self, step: Step) -> None:
        """Notes it."""
        if step.sent.executed:
            self.taken_s.append(time.monotonic())
        else:
            self.refused.append(step.sent.refused or step.sent.blocked)

    def on_end(self, end: object) -> None:
        """Nothing."""


def main() -> None:
    """Measures every arm at every rate in both ways and prints the tables."""
    args = tyro.cli(Benchmark, description=__doc__)
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}, seed {args.seed}")
    print(
        "| arm | rate [Hz] | way | chunks | time for a row [ms] | pause p50, max [ms] | jump [mrad] | in speed [mrad/s]"
        " | acceleration p99 [rad/s2] | tracking rms, max [mrad] |"
    )
    print("|" + "---|" * 10)
    for name in args.arms:
        if args.simulated:
            for rate_hz in args.rates_hz:
                for way in ("join", "rest"):
                    show(args, simulated(name, rate_hz, way, args))
            continue
        with ARMS[name]() as arm:
            for rate_hz in args.rates_hz:
                for way in ("join", "rest"):
                    show(args, run(arm, name, rate_hz, way, args))
            if args.stops:
                stops(arm, name, args)


def show(args: Benchmark, line: dict[str, Any]) -> None:
    """Prints a run, and what naive switching would have done with its chunks."""
    print(line_of(line), flush=True)
    write(args.out, line)
    if line["way"] == "join":
        jump = "{jump_mrad:.1f} | {jump_mradps:.0f}".format(**line["naive"])
        print(f"| {line['arm']} | {line['rate_hz']:g} | naive | {line['chunks']} | | | {jump} | | |", flush=True)


def simulated(name: str, rate_hz: float, way: str, args: Benchmark) -> dict[str, Any]:
    """One run in simulated time; returns its figures."""
    model, period_s = MODELS[name](), 1.0 / rate_hz
    vector = next(one for one in model.planner.body.chunks if one.names == vector_of(model))
    actions = ContinuousActions(vector, ROWS, period_s, EXECUTED, way == "join", 0.5)
    random, speed = np.random.default_rng(args.seed), TRAVEL_RAD / (args.chunks * EXECUTED * period_s)

    def rows(since_s: float, number: int, start: F64) -> F64:
        begin_s = since_s if actions.joins else number * EXECUTED * period_s
        found = np.tile(start, (ROWS, 1))
        found[:, 0] += path(begin_s + period_s * np.arange(1, ROWS + 1), speed)
        found[:, 0] += random.normal(0.0, args.error_rad) * np.linspace(0.2, 1.0, ROWS)
        return found

    one = Simulation(model, actions, rows, lambda: float(random.uniform(*args.delay_s)))
    one.run(args.chunks)
    figures = one.trace.figures(partial(path, speed=speed), speed, one.begun_s, EXECUTED * (len(one.trace.plans) - 1))
    naive = naive_jumps([(0, chunk) for _, chunk in one.chunks], [at for at, _, _ in one.trace.plans], period_s)
    known = {"arm": name, "rate_hz": rate_hz, "way": way, "chunks": len(one.trace.plans), "refused": one.refused}
    return {**known, **asdict(figures), "naive": naive, "simulated": True}


@contextmanager
def driven(arm: Arm) -> Iterator[ExecutedRobot]:
    """The arm behind an executor, where it began."""
    options = ExecutorOptions(control_period_s=1.0, observe_period_s=0.05)
    with ExecutedRobot(arm.robot, options) as robot:
        robot.observe()
        yield robot


def run(arm: Arm, name: str, rate_hz: float, way: str, args: Benchmark) -> dict[str, Any]:
    """One run; returns its figures."""
    period_s = 1.0 / rate_hz
    actions = ContinuousActions(arm.vector, ROWS, period_s, EXECUTED, way == "join", 0.5)
    spec = PolicySpec((), EMPTY_VECTOR, actions, 10_000, 1.0)
    binding = bind(spec, arm.robot.spec)
    session, noted = Foresight(binding, period_s, args), Noted()
    arm.home()
    with driven(arm) as robot, arm.traced() as trace:
        Runner(robot, session, max_steps=args.chunks, subscribers=(noted,)).run()
    way_of = partial(path, speed=session.speed)
    rows = EXECUTED * (len(trace.plans) - 1)
    figures = asdict(trace.figures(way_of, session.speed, session.begun_ns / 1e9, rows))
    if arm.renewed:
        figures |= {"jump_mrad": None, "jump_mradps": None}
    naive = naive_jumps(session.chunks, noted.taken_s, period_s)
    known = {"arm": name, "rate_hz": rate_hz, "way": way, "chunks": len(noted.taken_s), "refused": noted.refused}
    return {**known, **figures, "naive": naive, "load": os.getloadavg()[0]}


def stops(arm: Arm, name: str, args: Benchmark) -> None:
    """Prints the time from a stop to rest, during a chunk and during a join, in turn."""
    took: dict[str, list[float]] = {"chunk": [], "join": []}
    for number in range(args.stops):
        for when in took:
            arm.home()
            took[when].append(stopped(arm, when, args, number))
    for when, times in took.items():
        p50, most = 1000 * np.median(times), 1000 * max(times)
        print(f"| {name} | stop during a {when} | {len(times)} | p50 {p50:.0f} ms, max {most:.0f} ms |", flush=True)
        write(args.out, {"arm": name, "stop_during": when, "times_s": times, "load": os.getloadavg()[0]})


def stopped(arm: Arm, when: str, args: Benchmark, number: int) -> float:
    """Time from the request to stop until the arm is measured at rest [s]."""
    period_s = 0.1
    actions = ContinuousActions(arm.vector, ROWS, period_s, EXECUTED, True, 0.5)
    binding = bind(PolicySpec((), EMPTY_VECTOR, actions, 10_000, 1.0), arm.robot.spec)
    session = Foresight(binding, period_s, args)

    def report(robot: ExecutedRobot) -> None:
        chunk: Chunk = binding.chunk(session.act(robot.observe()).chunk)  # type: ignore[arg-type]
        sent = robot.execute(chunk)
        assert sent.executed, sent

    with driven(arm) as robot, arm.traced() as trace:
        report(robot)
        time.sleep(0.3 + 0.02 * (number % 5))
        if when == "join":
            report(robot)
            time.sleep(0.03)
        began_s = time.monotonic()
        robot.stop()
        time.sleep(0.7)
        return trace.rest_after(began_s) - began_s


def line_of(one: dict[str, Any]) -> str:
    """One line of the table; what ends at rest tracks no path in time."""
    off = f"{one['off_rms_mrad']:.1f}, {one['off_max_mrad']:.1f}" if one["way"] == "join" else "-"
    jump = "- | -" if one["jump_mrad"] is None else f"{one['jump_mrad']:.2f} | {one['jump_mradps']:.0f}"
    row_ms = one["row_ms"] if one["way"] == "rest" else 1000 / one["rate_hz"]
    return (
        f"| {one['arm']} | {one['rate_hz']:g} | {one['way']} | {one['chunks']} | {row_ms:.0f} |"
        f" {one['pause_p50_ms']:.0f}, {one['pause_max_ms']:.0f} | {jump} |"
        f" {one['acceleration']:.1f} | {off} |"
    )


def write(out: Path | None, line: dict[str, Any]) -> None:
    """Appends a line of JSON."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
