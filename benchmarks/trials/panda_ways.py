"""One policy on one task of LIBERO from the same states in several ways: as in training, its bundle in this process,
over REST, and over ROS 2 without and with latency charged.

    python -m benchmarks.trials.panda_ways --checkpoint runs/vla/grpo/last.pt --bundle runs/vla/bundle --states 20

The bundle is what `ferry export` wrote of the checkpoint. Needs LIBERO (scripts/libero).
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from benchmarks.machine import cpu
from evaluation.runner import Runner
from evaluation.statistics.proportions import wilson
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.onnx_policy import OnnxPolicy
from policy_server.policy import Policy
from robots.spec import ContinuousActions
from simulation.libero.panda_twin import PandaTwin, PandaTwinOptions
from simulation.libero.preparation import initial_states
from simulation.libero.states import draw, split
from training.vla.policy.checkpoint import load_policy
from training.vla.rollout.rollout import RolloutJob, play_group

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from ros_graph import graph, wait_until
from servers import ferry_serve

Way = Callable[[int], bool]
"""Plays the state of a seed; returns whether the task was done."""


@dataclass(frozen=True)
class Benchmark:
    """Compares the ways."""

    checkpoint: Path
    bundle: Path
    suite: str = "libero_object"
    index: int = 9
    spread_m: float = 0.03
    states: int = 20
    """Held-out ones, by seed from 0."""
    ways: tuple[str, ...] = ("training", "bundle", "rest", "ros", "ros, latency charged")
    out: Path = Path("runs/panda_ways")
    """Folder of the processes' logs."""


def main() -> None:
    """Plays every state in every way and prints a table."""
    args = tyro.cli(Benchmark, description=__doc__)
    bundle = PolicyBundle.load(args.bundle, threads=1)
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"{args.suite} {args.index}, {args.states} states, bundle {bundle.sha256[:12]}\n")
    print("| way | success | as the first way | s per episode |\n|---|---|---|---|")
    first: list[bool] = []
    size = bundle.manifest.spec.cameras[0].height
    options = PandaTwinOptions(args.suite, args.index, spread_m=args.spread_m, image_size=size)
    for name in args.ways:
        with way(name, args, bundle, options) as play:
            began_s = time.monotonic()
            done = [play(seed) for seed in range(args.states)]
            lasted_s = (time.monotonic() - began_s) / args.states
        first = first or done
        same = sum(one == other for one, other in zip(first, done))
        rate = wilson(sum(done), len(done))
        cell = f"{sum(done)} = {100 * rate.value:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
        print(f"| {name} | {cell} | {same} of {len(done)} | {lasted_s:.1f} |", flush=True)


@contextmanager
def way(name: str, args: Benchmark, bundle: PolicyBundle, options: PandaTwinOptions) -> Iterator[Way]:
    """Opens a way by its name in `Benchmark.ways`."""
    if name.startswith("ros"):
        with over_ros(args, bundle, options, charged="charged" in name) as play:
            yield play
        return
    with PandaTwin(options) as twin:
        if name == "training":
            yield as_in_training(twin, args, bundle)
        elif name == "bundle":
            yield partial(in_process, twin, OnnxPolicy(bundle))
        else:
            with ferry_serve(args.bundle) as (url, _), PolicyClient(url, timeout_s=20) as client:
                yield partial(in_process, twin, client)


def as_in_training(twin: PandaTwin, args: Benchmark, bundle: PolicyBundle) -> Way:
    """Returns the way that plays with torch, as `ferry train grpo` evaluates."""
    policy, player, actions = load_policy(args.checkpoint), twin.player, bundle.manifest.spec.actions
    bases = split(initial_states(args.suite, args.index))[1]
    assert isinstance(actions, ContinuousActions)
    rows = actions.execute_rows or actions.horizon

    def play(seed: int) -> bool:
        state = draw(player.world, bases, 1, seed, args.spread_m)[0]
        job = RolloutJob(seed, 0, (seed,), ((seed,),), 0.0, rows, {}, keep=False)
        return play_group(player, state, policy, job, lambda actions: None)[0].success

    return play


def in_process(twin: PandaTwin, policy: Policy, seed: int) -> bool:
    """Plays the twin in this process; time does not count."""
    twin.reset(twin.draw(seed))
    with policy.open(twin.spec, twin.episode.instruction) as session:
        Runner(twin, session, clock=lambda: 0).run()
    return twin.is_success()


@contextmanager
def over_ros(args: Benchmark, bundle: PolicyBundle, options: PandaTwinOptions, charged: bool) -> Iterator[Way]:
    """Starts server, robot_node and policy_node as processes of their own."""
    args.out.mkdir(parents=True, exist_ok=True)
    period_s = bundle.manifest.spec.control_period_s
    prefixed = {f"panda_twin.{name}": getattr(options, name) for name in ("suite", "index", "spread_m", "image_size")}
    prefixed |= {"panda_twin.charge_latency": charged}
    with graph(args.out) as here, ferry_serve(args.bundle) as (url, _):
        robot = here.robot(robot="panda_twin", control_period_s=period_s, house_seed=0, **prefixed)
        wait_until(lambda: here.watcher.stamps_ns, 120.0, robot)
        policy = here.policy(url, instruction="")
        wait_until(lambda: here.watcher.heard("policy_node", "active"), 60.0, policy)

        def play(seed: int) -> bool:
            here.watcher.set("robot_node", house_seed=seed)
            assert here.watcher.call("reset", timeout_s=120.0).success
            end = json.loads(here.watcher.call("policy_node/run_trial", timeout_s=300.0).message)
            if end["reason"] not in ("done", "max_steps"):
                print(f"seed {seed}: {end}", file=sys.stderr)
            judged = json.loads(here.watcher.call("done").message)
            if charged:
                print(f"seed {seed}: {judged['rows_held']} rows held", file=sys.stderr)
            return bool(judged["success"])

        yield play


if __name__ == "__main__":
    main()
