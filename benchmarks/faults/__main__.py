"""How long each robot moves on after something failed, and whether it moves by itself once that is back.

    python -m benchmarks.faults --tries 20
    python -m benchmarks.faults --body piper --fault "policy node frozen 4 s" --tries 5

For every robot, a policy server, robot node, supervisor, policy node and the robot's fake (where it has one) run as
processes of their own, as on a robot. Each try starts a trial, waits until the robot is in the middle of a motion,
plants one fault and asks the fake or the twin itself when it stood for good and how far it went. Then the fault is
taken back, and for 15 s nothing may move. Last a trial is begun on purpose, which must move the robot.

Every try is a line of JSON in the folder of the results; a run that was cut off goes on where it was.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import tyro

from benchmarks.faults.bodies import BODIES
from benchmarks.faults.line import PERIOD_S
from benchmarks.faults.plants import CLOCK_JUMP, FAULTS, plant_all, tried_so_far
from benchmarks.faults.process import apart
from benchmarks.faults.table import Tried, overview, summary, table
from benchmarks.machine import cpu
from ferry.launcher.parent import end_with_parent


@dataclass(frozen=True)
class Benchmark:
    """Plants faults on bodies."""

    body: tuple[str, ...] = tuple(BODIES)
    """Of those that `fault.bodies` knows."""
    fault: tuple[str, ...] = tuple(FAULTS)
    """Of those that `fault.plants` knows."""
    tries: int = 20
    """How often each fault is planted on each robot."""
    watch_s: float = 15.0
    """For how long nothing may move after the fault was taken back."""
    parallel: int = 2
    """Bodies at the same time, each in a ROS domain of its own."""
    domain: int = 1
    """The first of these ROS domains."""
    out: Path = Path("runs/faults")
    """Folder of the results (JSON lines) and of the processes' logs; tries that it holds already count."""
    only_print: bool = False
    """Print the table of what was measured before."""
    overview: bool = False
    """Print the table of docs/safety.md alone, of what was measured before."""
    alone: bool = False
    """Plant on the one robot here, in this process."""


def main() -> None:
    """Plants every fault on every robot and prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    for unknown in [*set(args.body) - set(BODIES), *set(args.fault) - set(FAULTS)]:
        sys.exit(f"no such body or fault: {unknown}; expected of {', '.join([*BODIES, *FAULTS])}")
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, also by whatever is started here
    if args.alone:
        name = args.body[0]
        plant_all(name, args.fault, args.tries, args.out / name, results_of(args, name), args.watch_s, args.domain)
        return
    if args.overview:
        print(overview(measured(args), args.fault, args.tries))
        return
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"control period {PERIOD_S} s, {args.tries} tries each, {args.parallel} bodies at a time\n", flush=True)
    if not args.only_print:
        spread(replace(args, fault=tuple(one for one in args.fault if one != CLOCK_JUMP)))
        if CLOCK_JUMP in args.fault:
            spread(replace(args, fault=(CLOCK_JUMP,), parallel=1))
    tried = measured(args)
    text = table(tried, args.body, args.fault) + "\n\n" + summary(tried, 2 * PERIOD_S)
    print(text)
    (args.out / "table.md").write_text(text + "\n")


def measured(args: Benchmark) -> list[Tried]:
    """The tries so far."""
    return [one for body in args.body for one in tried_so_far(results_of(args, body)) if one.fault in args.fault]


def results_of(args: Benchmark, body: str) -> Path:
    """Where the tries of a robot are written down."""
    return args.out / f"{body}.jsonl"


def spread(args: Benchmark) -> None:
    """Runs a process for each robot, some at a time, each with a ROS domain and mounts of its own."""
    waiting, running = list(args.body), dict[int, tuple[str, subprocess.Popen[bytes]]]()
    while (waiting and args.fault) or running:
        for domain in range(args.domain, args.domain + args.parallel):
            if waiting and domain not in running:
                body = waiting.pop(0)
                running[domain] = (body, begin(args, body, domain))
        for domain, (body, process) in list(running.items()):
            if process.poll() is not None:
                del running[domain]
                if process.returncode:
                    print(f"{body} did not end well, see {args.out / body}.log", file=sys.stderr)
        time.sleep(0.2)


def begin(args: Benchmark, body: str, domain: int) -> subprocess.Popen[bytes]:
    """The process that plants on one robot; it ends with this one."""
    words = ["--body", body, "--fault", *args.fault, "--tries", str(args.tries), "--out", str(args.out.resolve())]
    words += ["--watch-s", str(args.watch_s), "--domain", str(domain)]
    command = [*apart(), sys.executable, "-m", "benchmarks.faults", "--alone", *words]
    with (args.out / f"{body}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent())


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
