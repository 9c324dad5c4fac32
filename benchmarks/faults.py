"""How long each body moves on after something failed: a table of planted faults, over DDS and the fakes' own wires.

    python benchmarks/faults.py --tries 20

For every body, a policy server, robot node, supervisor, policy node and the body's fake (where it has one) run as
processes of their own, as on a robot. Each try starts a trial, waits until the body is in the middle of a motion,
plants one fault and asks the fake or the twin itself when it stood for good, how far it went after the fault, and how
many motions began later than two control periods after it, also after the fault was taken back; there must be none.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from fault_bodies import BODIES
from fault_line import FAULTS, PERIOD_S, plant_all
from fault_table import Tried, summary, table
from ros_latency import cpu


@dataclass(frozen=True)
class Benchmark:
    """Plants faults on bodies."""

    bodies: tuple[str, ...] = tuple(BODIES)
    """Of those that `fault_bodies` knows."""
    faults: tuple[str, ...] = tuple(FAULTS)
    """Of those that `fault_line` knows."""
    tries: int = 20
    """How often each fault is planted on each body."""
    parallel: int = 2
    """Bodies at the same time, each in a ROS domain of its own."""
    out: Path = Path("runs/faults")
    """Folder of the results (one JSON a body) and of the processes' logs."""
    alone: bool = False
    """Plant on the one body here, in this process."""


def main() -> None:
    """Plants every fault on every body and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.alone:
        tried = plant_all(args.bodies[0], args.faults, args.tries, args.out / args.bodies[0])
        (args.out / f"{args.bodies[0]}.json").write_text(json.dumps([one.to_json() for one in tried]) + "\n")
        return
    spread(args)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"control period {PERIOD_S} s, {args.tries} tries each, {args.parallel} bodies at a time\n")
    tried = [Tried(**one) for body in args.bodies for one in json.loads((args.out / f"{body}.json").read_text())]
    text = table(tried, args.bodies, args.faults) + "\n\n" + summary(tried, 2 * PERIOD_S)
    print(text)
    (args.out / "table.md").write_text(text + "\n")


def spread(args: Benchmark) -> None:
    """Runs a process for each body, some at a time."""
    waiting, running = list(args.bodies), list[tuple[str, subprocess.Popen[bytes]]]()
    while waiting or running:
        while waiting and len(running) < args.parallel:
            body = waiting.pop(0)
            words = ["--bodies", body, "--faults", *args.faults, "--tries", str(args.tries), "--out", str(args.out)]
            with (args.out / f"{body}.log").open("wb") as log:
                process = subprocess.Popen([sys.executable, __file__, "--alone", *words], stdout=log, stderr=log)
            running.append((body, process))
        body, process = running.pop(0)
        try:
            if process.wait(1.0):
                print(f"{body} failed, see {args.out / body}.log", file=sys.stderr)
                (args.out / f"{body}.json").write_text("[]\n")
        except subprocess.TimeoutExpired:
            running.append((body, process))


if __name__ == "__main__":
    main()
