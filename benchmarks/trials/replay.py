"""Replays trials bit for bit, and tells whether what was changed on purpose is found and named.

    python -m benchmarks.trials.replay --trials 100 --out runs/replay

Records trials of one graph (server, policy node, robot node with the kinematic fake, recorder), then runs the bundle on
what was recorded: as it is, with the nearest pixel in place of the mean in the resize (those recordings count in which
that changes a bit: flat images do not show it), with other threads, and with one weight in a thousand changed by a
thousandth. The tiny bundle has a sum whose rounding depends on the threads; with --bundle another one is replayed, of
which other threads may well change no bit.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import tyro
from onnx import numpy_helper

from benchmarks.machine import cpu
from evaluation.recordings.recording import Recording
from evaluation.recordings.replay import Replay, replay_file
from policy_server.bundle import PolicyBundle
from policy_server.manifest import write_bundle
from robots import view
from robots.binding import bind

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from ros_graph import NodeProcess, graph, wait_until
from servers import ferry_serve
from threaded_bundle import write_threaded_bundle


@dataclass(frozen=True)
class Benchmark:
    """Replays trials."""

    trials: int = 100
    decisions: int = 10
    """Of each trial."""
    bundle: Path | None = None
    """Bundle that drives; a tiny one by default."""
    height: int = 126
    width: int = 216
    out: Path = Path("runs/replay")
    """New folder of the logs and the recordings."""
    reuse: bool = False
    """Replay what is in `out` already."""


def main() -> None:
    """Records, replays, prints a table; ends with 1 if a trial was not reproduced or a change was not found."""
    args = tyro.cli(Benchmark, description=__doc__)
    bundle = args.bundle or args.out / "bundle"
    if not args.reuse:
        record(args, bundle)
    files = sorted(args.out.rglob("*.mcap"))
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print("| changed | recordings | decisions reproduced | differ | first tensor | named |\n|---|---|---|---|---|---|")
    same = shown("nothing", [replay_file(file, bundle, None, {}) for file in files], lambda one: one.is_same)
    with resized_by_the_nearest_pixel():
        found = [replay_file(file, bundle, None, {}) for file in files]
    seen = [one for file, one in zip(files, found, strict=True) if is_resized_otherwise(file)]
    resize = shown("resize", seen, lambda one: one.difference is not None and one.difference.is_input)
    cache: dict[int, PolicyBundle] = {}
    found = [replay_file(file, bundle, 3, cache) for file in files]
    threads = shown("threads", found, lambda one: any("threads" in change for change in one.changes))
    changed = with_another_graph(bundle, args.out / "changed")
    found = [replay_file(file, changed, None, {}) for file in files]
    graphs = shown("graph", found, lambda one: any("policy.onnx" in change for change in one.changes))
    sys.exit(0 if len(files) and all((same, resize, threads, graphs)) else 1)


def record(args: Benchmark, bundle: Path) -> None:
    """Records the trials, each with a seed of its own, whose sampled actions differ."""
    args.out.mkdir(parents=True)
    if args.bundle is None:
        write_threaded_bundle(bundle)
    size = {"fake.height": args.height, "fake.width": args.width, "fake.real_time": False}
    with graph(args.out) as here, ferry_serve(bundle) as (url, _):
        here.robot(control_period_s=10.0, **size)
        recorder = here.recorder(folder=str(args.out / "recordings"))
        here.policy(url, max_steps=args.decisions, sampling="sample", instruction="find an apple")
        here.ready(90.0)
        for number in range(args.trials):
            here.watcher.set("policy_node", seed=number)
            here.watcher.call("policy_node/run_trial", timeout_s=120.0)
            wait_until(partial(has_recorded, recorder, number + 1))
            print(f"\rrecorded {number + 1} of {args.trials}", end="", file=sys.stderr)


def has_recorded(recorder: NodeProcess, trials: int) -> bool:
    """Whether the recorder says that it has recorded so many trials."""
    return bool(recorder.text().count("recorded ") >= trials)


def shown(changed: str, replays: Sequence[Replay], is_named: Callable[[Replay], bool]) -> bool:
    """Prints a row; returns whether every replay is as it should be."""
    differ = [one for one in replays if one.difference is not None]
    tensors = Counter(one.difference.tensor for one in differ if one.difference is not None)
    named = sum(map(is_named, replays))
    total, reproduced = sum(one.steps for one in replays), sum(one.reproduced for one in replays)
    first = ", ".join(f"{name} ({count})" for name, count in tensors.most_common()) or "-"
    print(f"| {changed} | {len(replays)} | {reproduced} of {total} | {len(differ)} | {first} | {named} |", flush=True)
    return named == len(replays)


@contextmanager
def resized_by_the_nearest_pixel() -> Iterator[None]:
    """Takes one pixel where the view takes the mean of those that it covers."""
    taps = view.area_taps

    def nearest(source: int, target: int) -> Any:
        places, weights = taps(source, target)
        return places[:, :1], np.ones_like(weights[:, :1])

    with patch.object(view, "area_taps", nearest):
        yield


def is_resized_otherwise(file: Path) -> bool:
    """Whether that changes a bit of what the policy saw: of flat images it does not."""
    recording = Recording.read(file)
    images = bind(recording.manifest.spec, recording.body).images
    for step in recording.decided():
        before = images(step.observation)
        with resized_by_the_nearest_pixel():
            after = images(step.observation)
        if any((before[name] != after[name]).any() for name in before):
            return True
    return False


def with_another_graph(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle with a thousandth of the numbers of its largest weights changed by a thousandth."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / "policy.onnx")
    weights = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    largest = max(weights, key=lambda one: int(np.prod(one.dims)))
    numbers = numpy_helper.to_array(largest).copy()
    numbers.reshape(-1)[::1000] *= np.float32(1.001)
    largest.CopyFrom(numpy_helper.from_array(numbers, largest.name))
    write_bundle(folder, PolicyBundle.load(bundle).manifest, {"policy.onnx": model.SerializeToString()})
    return folder


if __name__ == "__main__":
    main()
