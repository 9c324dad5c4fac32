"""An hour of eight sessions: the server's memory, descriptors and threads each minute, and every decision's latency.

    python -m benchmarks.server.soak BUNDLE --seconds 3600
    python -m benchmarks.server.soak BUNDLE OTHER --seconds 3600     # and a swap each minute, to one and back

The first half of the rows is warm-up: each swap leaves freed blocks of other sizes, which the C library keeps, and
memory rises over some 25 swaps until they hold the next bundle. Ends with status 1 if descriptors or threads grew
from the third quarter to the last, memory by more than 5 %, a request was lost, or the run was too short to judge.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import tyro

from benchmarks.machine import cpu
from benchmarks.server.robots import Seen, bundle_paths, drive_together
from benchmarks.server.servers import Held, held, served
from policy_server.swap import main as swap

MEMORY = 1.05
"""Largest growth of memory from the third quarter to the last, as a ratio."""
WARM_UP = 25
"""Swaps after which memory has levelled off (docs/experiments.md, 2026-12-01)."""


@dataclass(frozen=True)
class Soak:
    """Measures one server for long."""

    bundles: tyro.conf.Positional[tuple[Path, ...]] = ()
    """The bundle to serve, and one to swap it with each minute; one is made when none is given."""
    seconds: float = 3600.0
    """Duration [s]."""
    robots: int = 8
    """Robots, each with a session at a time."""
    hz: float = 5.0
    """Decisions that each asks for [1/s]."""
    every_s: float = 60.0
    """Time between two rows of the table, and two swaps [s]."""
    episode: int = 0
    """Decisions of an episode; 0 for as many as the policy has. Four bundles at most have open episodes."""
    batch: int = 1
    """Sessions in one run of the graph."""
    threads: int = 1
    """Threads of one inference; 0 for one per core."""


def main() -> None:
    """Runs the soak test and prints its table."""
    args = tyro.cli(Soak, description=__doc__)
    print(f"{cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.robots} robots at {args.hz:g} Hz\n")
    with tempfile.TemporaryDirectory() as folder:
        bundles = bundle_paths(args.bundles, Path(folder))
        with served(bundles[0], "--batch", str(args.batch), threads=args.threads) as server:
            over, rows = threading.Event(), list[Held]()
            port = httpx.URL(server.url).port or 0
            watch = threading.Thread(target=_watch, args=(server.pid, port, bundles, args.every_s, over, rows))
            watch.start()
            seen = drive_together(server.url, args.robots, args.hz, args.seconds, args.episode)
            over.set()
            watch.join()
            metrics = httpx.get(f"{server.url}/metrics").text
    swaps = [line for line in metrics.splitlines() if line.startswith("ferry_swaps_total")]
    sys.exit(report(seen, rows, swaps))


def _watch(pid: int, port: int, bundles: list[Path], every_s: float, over: threading.Event, rows: list[Held]) -> None:
    print("| t [s] | RSS [MiB] | descriptors | threads | CPU [s] | load |\n|---|---|---|---|---|---|")
    began = time.monotonic()
    while not over.wait(every_s):
        now = held(pid)
        rows.append(now)
        row = f"{now.rss_mib:.1f} | {now.descriptors} | {now.threads} | {now.cpu_s:.1f} | {os.getloadavg()[0]:.1f}"
        print(f"| {time.monotonic() - began:.0f} | {row} |", flush=True)
        if len(bundles) > 1:
            swap([str(bundles[len(rows) % 2]), "--port", str(port)])


def report(seen: Seen, rows: list[Held], swaps: list[str]) -> int:
    """Prints the result; returns the exit status."""
    p50, p99, p100 = np.percentile(np.array(seen.latency_s or [float("nan")]) * 1000, [50, 99, 100])
    print(f"\n{len(seen.latency_s)} decisions of {seen.due}: p50 {p50:.1f}, p99 {p99:.1f}, p100 {p100:.1f} ms")
    print(f"late: {seen.late}; errors: {sorted(set(seen.errors)) or 'none'}; {'; '.join(swaps) or 'no swaps'}")
    quarter, least = len(rows) // 4, 2 * WARM_UP if swaps else 4
    if len(rows) < least:
        print(f"too short to judge: got {len(rows)} rows, expected {least} at least; say a longer --seconds")
        return 1
    before, after = rows[-2 * quarter : -quarter], rows[-quarter:]
    grew = []
    for name, most in (("rss_mib", MEMORY), ("descriptors", 1.0), ("threads", 1.0)):
        third, last = (statistics.median(getattr(row, name) for row in part) for part in (before, after))
        ends = f"{getattr(rows[0], name):.1f} in the first row, at most {max_of(rows, name):.1f}"
        print(f"{name}: {third:.1f} in the third quarter, {last:.1f} in the last; {ends}")
        grew += [name] if last > third * most else []
    print(f"grew: {', '.join(grew) or 'nothing'}")
    return 1 if grew or seen.errors else 0


def max_of(rows: list[Held], name: str) -> float:
    """The largest value of a column."""
    return float(max(getattr(row, name) for row in rows))


if __name__ == "__main__":
    main()
