"""How evenly an arm is driven at 5, 10 and 30 Hz with the policy running, over ROS 2 and the driver's own wire.

    python -m benchmarks.ros.control_loop

Server, policy node, supervisor, robot node and the arm's fake run as processes of their own. Two ways to drive:

- one row a decision: observe, ask, move one row of 1/rate seconds, observe again. The loop takes the row and what comes
  between rows; the table shows how long it takes from one motion's beginning to the next and how much that varies.
- chunks of 8 rows: the driver plays the rows at their rate; the table shows how long a chunk takes, against 8 rows.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro

from benchmarks.faults.bodies import FaultBody
from benchmarks.faults.line import running, wait
from benchmarks.machine import cpu

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from chunk_bundles import write_chunk_bundle


@dataclass(frozen=True)
class Benchmark:
    """Measures arms."""

    bodies: tuple[str, ...] = ("piper", "ros2_control_arm")
    rates_hz: tuple[float, ...] = (5.0, 10.0, 30.0)
    decisions: int = 60
    """Of each row of the table."""
    out: Path = Path("runs/control_loop")
    """Folder of the processes' logs."""


def main() -> None:
    """Measures every arm at every rate and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"{args.decisions} decisions each\n")
    print("| arm | rows | asked [ms] | p50 | sd | p99 | max | of that between motions, p50 [ms] |")
    print("|---|---|---|---|---|---|---|---|")
    for body in args.bodies:
        for rate_hz in args.rates_hz:
            for rows in (1, 8):
                began, lasted = drive(body, rate_hz, rows, args)
                print(line_of(body, rows, rate_hz, began, lasted), flush=True)


def drive(body: str, rate_hz: float, rows: int, args: Benchmark) -> tuple[list[float], list[float]]:
    """When each motion began [s] and how long it lasted [s]."""
    folder = args.out / f"{body}_{rate_hz:g}_{rows}"
    with running(body, folder, partial(write, rows, rate_hz), max(0.2, 4.0 / rate_hz)) as line:
        line.home()
        count = len(line.results)
        line.begin()
        if not wait(lambda: len(line.results) >= count + args.decisions, 120.0):
            raise TimeoutError(f"{body}: {len(line.results) - count} decisions in 120 s, see {folder}")
        line.trigger("policy_node/end_trial")
        time.sleep(0.5)
        done = [one for one in line.results[count:] if one.sent.executed][5:]
    return [one.began_ns / 1e9 for one in done], [one.duration_s for one in done]


def write(rows: int, rate_hz: float, body: FaultBody, folder: Path) -> None:
    """A policy that moves the gripper by 2 mm a row, back and forth."""
    assert body.chunk is not None
    script = np.zeros((2, rows, len(body.chunk)), np.float32)
    script[0, :, 0], script[1, :, 0] = 0.002, -0.002
    script[:, :, body.chunk.names.index("gripper")] = 0.5
    period_s = max(0.2, 4.0 / rate_hz)
    write_chunk_bundle(folder, body.chunk, script, period_s=1 / rate_hz, control_period_s=period_s, horizon=10_000)


def line_of(body: str, rows: int, rate_hz: float, began: Sequence[float], lasted: Sequence[float]) -> str:
    """One line of the table."""
    took = 1000 * np.diff(began) if rows == 1 else 1000 * np.array(lasted)
    between = 1000 * (np.diff(began) - np.array(lasted[:-1]))
    p50, p99 = np.percentile(took, [50, 99])
    figures = f"{p50:.1f} | {took.std():.1f} | {p99:.1f} | {took.max():.1f} | {np.median(between):.1f}"
    return f"| {body} | {rows} | {1000 * rows / rate_hz:.1f} | {figures} |"


if __name__ == "__main__":
    main()
