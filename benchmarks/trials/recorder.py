"""What the recorder costs: the control loop with and without it, bytes a minute, loss at a kill, speed of the export.

    python -m benchmarks.trials.recorder

Server, policy node, robot node (the kinematic fake, whose motions take their time) and recorder run as processes of
their own. Trials with and without the recorder alternate. "Loop" is the time from one motion's end to the next one's
beginning: observe, ask, send. "Lost" is the time from the last recorded message to a SIGKILL of the recorder.
"""

from __future__ import annotations

import os
import platform
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.machine import cpu
from evaluation.recordings import mcap_reader
from evaluation.recordings.export_main import main as export
from evaluation.recordings.recording import Recording
from evaluation.recordings.replay_main import main as replay

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from ros_graph import graph, wait_until
from servers import ferry_serve

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Benchmark:
    """Measures the recorder."""

    bundle: Path = ROOT / "policies" / "objectnav_stretch_mini"
    height: int = 224
    width: int = 384
    publish_rate_hz: float = 5.0
    decisions: int = 100
    """Of each trial."""
    pairs: int = 3
    """Trials with, and as many without the recorder."""
    kills: int = 10
    export: bool = True
    out: Path = Path("runs/recorder")
    """New folder of the processes' logs and of the recordings."""


def main() -> None:
    """Measures and prints everything."""
    args = tyro.cli(Benchmark, description=__doc__)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    args.out.mkdir(parents=True)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"{args.pairs} x {args.decisions} decisions each, 2 cameras of {args.height} x {args.width}\n")
    loops: dict[bool, list[float]] = {False: [], True: []}
    for number in range(args.pairs):
        for records in (False, True):
            loops[records] += trial(args, args.out / f"{number}_{'with' if records else 'without'}", records)
    print("| recorder | decisions | loop p50 [ms] | p99 | max |\n|---|---|---|---|---|")
    for records, loop_ms in loops.items():
        p50, p99 = np.percentile(loop_ms, [50, 99])
        print(f"| {'with' if records else 'without'} | {len(loop_ms)} | {p50:.1f} | {p99:.1f} | {max(loop_ms):.1f} |")
    files = sorted(args.out.rglob("*.mcap"))
    say_sizes(files)
    assert replay([*map(str, files), "--bundle", str(args.bundle)]) == 0
    lost_ms = losses(args, args.out / "killed")
    if lost_ms:
        print(f"lost at SIGKILL, {len(lost_ms)} tries: p50 {np.median(lost_ms):.0f} ms, max {max(lost_ms):.0f} ms")
    if args.export:
        export([*map(str, files), "--output", str(args.out / "dataset")])


@contextmanager
def running(args: Benchmark, folder: Path, records: bool) -> Iterator[Any]:
    """The graph around the fake, which is ready for a trial."""
    folder.mkdir(parents=True)
    size = {"fake.height": args.height, "fake.width": args.width}
    with graph(folder) as here, ferry_serve(args.bundle) as (url, _):
        here.robot(publish_rate_hz=args.publish_rate_hz, **size)
        if records:
            here.recorder(folder=str(folder))
        here.policy(url, max_steps=args.decisions, sampling="uniform", instruction="find an apple")
        here.ready(60.0)
        yield here


def trial(args: Benchmark, folder: Path, records: bool) -> list[float]:
    """Time between two motions [ms], of every pair of motions of one trial."""
    with running(args, folder, records) as here:
        answer = here.watcher.call("policy_node/run_trial", timeout_s=600.0)
        print(f"{folder.name}: {answer.message[:160]}", file=sys.stderr)
        done = [one for one in here.watcher.results if one.began_ns > 0]
        if records:
            wait_until(lambda: "recorded " in here.processes["recorder_node"].text())
    ends = [one.began_ns / 1e6 + one.duration_s * 1e3 for one in done]
    return [later.began_ns / 1e6 - end for end, later in zip(ends, done[1:])]


def say_sizes(files: Sequence[Path]) -> None:
    """Prints the size of recordings against their time, and whether every decision has its inputs."""
    seconds, size, lost, steps = 0.0, 0, 0, 0
    for file in files:
        times = [message.log_time for _, _, message in mcap_reader.records(file)]
        seconds, size = seconds + (max(times) - min(times)) / 1e9, size + file.stat().st_size
        recording = Recording.read(file)
        steps += len(recording.steps)
        lost += sum(step.decision.stamp_ns not in recording.inputs for step in recording.steps)
    print(
        f"\n{size / seconds * 60 / 1e6:.1f} MB a minute over {seconds:.0f} s; {lost} of {steps} decisions lack a part"
    )


def losses(args: Benchmark, folder: Path) -> list[float]:
    """Time [ms] between the last message in the file and the kill of its recorder, for several kills."""
    lost_ms: list[float] = []
    for number in range(args.kills):
        own = folder / str(number)
        with running(args, own, True) as here:
            here.watcher.call_async("policy_node/run_trial")
            wait_until(lambda own=own: any(own.glob("*.mcap")))
            time.sleep(2.0 + random.random())
            here.processes["recorder_node"].send(signal.SIGKILL)
            killed_ns = time.time_ns()
            here.watcher.call("policy_node/end_trial")
        (file,) = own.glob("*.mcap")
        lost_ms.append((killed_ns - max(one.log_time for _, _, one in mcap_reader.records(file))) / 1e6)
    return lost_ms


if __name__ == "__main__":
    main()
