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
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from fault_bodies import BODIES
from fault_line import PERIOD_S
from fault_plants import CLOCK_JUMP, FAULTS, plant_all
from fault_table import Tried, summary, table
from ros_latency import cpu


@dataclass(frozen=True)
class Benchmark:
    """Plants faults on bodies."""

    bodies: tuple[str, ...] = tuple(BODIES)
    """Of those that `fault_bodies` knows."""
    faults: tuple[str, ...] = tuple(FAULTS)
    """Of those that `fault_plants` knows."""
    tries: int = 20
    """How often each fault is planted on each body."""
    parallel: int = 2
    """Bodies at the same time, each in a ROS domain of its own."""
    out: Path = Path("runs/faults")
    """Folder of the results (JSON) and of the processes' logs; tries that it holds already count."""
    only_print: bool = False
    """Print the table of what was measured before."""
    alone: bool = False
    """Plant on the one body here, in this process."""


def main() -> None:
    """Plants every fault on every body and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.alone:
        name = args.bodies[0]
        plant_all(name, args.faults, args.tries, args.out / name, results_of(args, name))
        return
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"control period {PERIOD_S} s, {args.tries} tries each, {args.parallel} bodies at a time\n")
    if not args.only_print:
        spread(replace(args, faults=tuple(one for one in args.faults if one != CLOCK_JUMP)))
        if CLOCK_JUMP in args.faults:
            spread(replace(args, faults=(CLOCK_JUMP,), parallel=1))
    found = [one for body in args.bodies for one in sorted(args.out.glob(f"{body}.*.json"))]
    tried = [Tried(**one) for path in found for one in json.loads(path.read_text())]
    text = table(tried, args.bodies, args.faults) + "\n\n" + summary(tried, 2 * PERIOD_S)
    print(text)
    (args.out / "table.md").write_text(text + "\n")


def results_of(args: Benchmark, body: str) -> Path:
    """Where the tries of a body are written down: those that move the clock are made by themselves."""
    return args.out / f"{body}.{'clock' if args.faults == (CLOCK_JUMP,) else 'faults'}.json"


def spread(args: Benchmark) -> None:
    """Runs a process for each body, some at a time."""
    waiting, running = list(args.bodies), list[tuple[str, subprocess.Popen[bytes]]]()
    while waiting or running:
        while waiting and len(running) < args.parallel:
            body = waiting.pop(0)
            words = ["--bodies", body, "--faults", *args.faults, "--tries", str(args.tries), "--out", str(args.out)]
            with (args.out / f"{body}.log").open("ab") as log:
                process = subprocess.Popen([sys.executable, __file__, "--alone", *words], stdout=log, stderr=log)
            running.append((body, process))
        body, process = running.pop(0)
        try:
            if process.wait(1.0):
                print(f"{body} did not end well, see {args.out / body}.log", file=sys.stderr)
        except subprocess.TimeoutExpired:
            running.append((body, process))


if __name__ == "__main__":
    main()
