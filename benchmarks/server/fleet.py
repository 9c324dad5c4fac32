"""Rate, latency and late decisions of 1 to 16 robots at 2 to 20 Hz against one server, with and without batching.

    python -m benchmarks.server.fleet                    # a graph with a dynamic batch, made for it
    python -m benchmarks.server.fleet BUNDLE [BUNDLE]    # without batching where the graph's batch is fixed

Each robot is a process that asks at its own rate, whether or not the answers came; latency counts from the tick. Both
servers of a bundle run all the time, and are asked in turn, in blocks, so that a change of load meets both.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.machine import cpu
from benchmarks.server.robots import Seen, bundle_paths, drive_together
from benchmarks.server.servers import Server, held, served
from policy_server.errors import BundleError
from policy_server.loader import load_bundle


@dataclass(frozen=True)
class Fleet:
    """Measures bundles under the load of many robots."""

    bundles: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Bundles to serve; one with a dynamic batch is made when none is given."""
    robots: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of robots."""
    hz: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0)
    """Decisions that each robot asks for [1/s]."""
    batch: int = 8
    """Sessions in one run of the graph."""
    seconds: float = 20.0
    """Duration of each measurement [s], in blocks."""
    blocks: int = 2
    """Blocks of each measurement."""
    threads: int = 0
    """Threads of one inference; 0 for one per core."""


def main() -> None:
    """Runs the benchmark and prints a table per bundle."""
    args = tyro.cli(Fleet, description=__doc__)
    machine = f"{cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; {args.seconds:g} s each, threads {args.threads or 'all'}")
    with tempfile.TemporaryDirectory() as folder:
        for bundle in bundle_paths(args.bundles, Path(folder)):
            measure(bundle, args)


def measure(bundle: Path, args: Fleet) -> None:
    """Prints the table of one bundle."""
    name = load_bundle(bundle, threads=args.threads).manifest.name
    with ExitStack() as stack:
        servers = {"alone": stack.enter_context(served(bundle, threads=args.threads))}
        try:
            load_bundle(bundle, threads=args.threads, batch=args.batch)
            batched = served(bundle, "--batch", str(args.batch), threads=args.threads)
            servers[f"batch {args.batch}"] = stack.enter_context(batched)
        except BundleError as error:
            print(f"\n{name}: no batching: {error}")
        print(f"\n{name}: rate [1/s], p50, p99, p100 [ms], late [%], server CPU per decision [ms]")
        print(f"\n| robots | Hz | {' | '.join(servers)} | load |\n|---|---|{'---|' * (len(servers) + 1)}")
        for robots in args.robots:
            for hz in args.hz:
                cells = compare(servers, robots, hz, args)
                print(f"| {robots} | {hz:g} | {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |", flush=True)


def compare(servers: dict[str, Server], robots: int, hz: float, args: Fleet) -> list[str]:
    """Returns one cell per server, measured in turn."""
    seen, used_s = {name: Seen() for name in servers}, dict.fromkeys(servers, 0.0)
    for _ in range(args.blocks):
        for name, server in servers.items():
            before = held(server.pid).cpu_s
            seen[name].add(drive_together(server.url, robots, hz, args.seconds / args.blocks))
            used_s[name] += held(server.pid).cpu_s - before
    return [cell(seen[name], used_s[name], args.seconds) for name in servers]


def cell(seen: Seen, used_s: float, seconds: float) -> str:
    """Returns the line of one measurement."""
    if not seen.latency_s:
        return f"no answer of {seen.due}"
    p50, p99, p100 = np.percentile(np.array(seen.latency_s) * 1000, [50, 99, 100])
    rate, late = len(seen.latency_s) / seconds, 100 * seen.late / max(1, seen.due)
    cpu_ms = 1000 * used_s / len(seen.latency_s)
    errors = f" {sorted(set(seen.errors))}" if seen.errors else ""
    return f"{rate:.1f}, {p50:.1f}, {p99:.1f}, {p100:.1f}, {late:.1f} %, {cpu_ms:.1f}{errors}"


if __name__ == "__main__":
    main()
