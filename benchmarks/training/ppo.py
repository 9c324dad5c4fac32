"""Steps per second of PPO: end to end, by part, and of the learner alone.

    python -m benchmarks.training.ppo

Each row is a separate run of `ferry train ppo`, started by torchrun where it has several ranks, from an untrained
`mini` that chooses `done` once in about fifty decisions; its first update is not counted. "Simulator alone" is the same
number of processes that only drive, render and change houses. The parts are measured in this process: the cost of one
step on one core in rollouts, and in the update. `mini`'s encoder needs a multiple of 24 columns, so 64 x 120
is used instead of 64 x 112.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from robots.binding import bind
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.twins.house_twin import StretchTwin, TwinOptions
from simulation.worker_pool import Report, WorkerPool
from training.data.demonstration import training_episodes
from training.models.config import MINI, PolicyConfig, preset
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import frozen_weights, trained_weights
from training.rl.options import RolloutOptions
from training.rl.ppo import PpoOptions, PpoTrainer
from training.rl.reward import RewardOptions
from training.rl.rollout import RolloutJob, RolloutWorker, twin_options
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.trajectory import Trajectory
from training.runtime.checkpoint import new_policy, policy_payload, save
from training.runtime.weights import arrays

SIZES = {"64 x 120": (64, 120, 3, 5), "84 x 144": (84, 144, 4, 6)}
"""Height and width of images, rows and columns of `mini`'s visual tokens."""

RUNS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("1 worker", 1, 1, ()),
    ("2 workers", 1, 2, ()),
    ("2 workers, `--overlap`", 1, 2, ("--overlap",)),
    ("2 ranks of 1 worker", 2, 1, ()),
)
"""Title, ranks, workers and further options of each run; where playing overlaps its speed is that of waiting for it."""

MOVES = ("move_ahead", "rotate_left", "rotate_right")
LENGTH = 45
"""Decisions of an average episode."""


@dataclass(frozen=True)
class Benchmark:
    """Measures PPO."""

    sizes: tuple[str, ...] = tuple(SIZES)
    episodes: int = 40
    """Episodes of an update."""
    updates: int = 3
    """Updates of a run; the first is not counted."""
    simulator_s: float = 4.0
    """Duration of the measurement of the simulator alone [s]."""
    learner: bool = True
    """Also measure the learner, of both policy sizes."""


def main() -> None:
    """Prints three tables."""
    options = tyro.cli(Benchmark)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        measured = {size: runs(Path(folder) / f"{number}", size, options) for number, size in enumerate(options.sizes)}
    print("\n| images | processes | end to end, steps/s | playing | learning | simulator alone | fraction of it |")
    print("|---|---|---|---|---|---|---|")
    for rows in measured.values():
        print("\n".join(rows.lines))
    print("\n| images | simulation and rendering | encoder | policy | other playing | update |")
    print("|---|---|---|---|---|---|")
    for size, rows in measured.items():
        print(parts_line(size, rows.update_s))
    if options.learner:
        print("\n| size | learner, samples/s | decisions |\n|---|---|---|")
        print(learner_line(MINI, episodes=32, epochs=3))
        print(learner_line(preset("small_3", weights=""), episodes=2, epochs=1))


@dataclass(frozen=True)
class Rows:
    """Results for one image size: lines of the table, and the update's time per step on one rank."""

    lines: list[str]
    update_s: float


def runs(folder: Path, size: str, options: Benchmark) -> Rows:
    """Measures one worker, two workers, the same with playing beside learning, and two ranks of a worker each."""
    policy = clone(size)
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    alone = {count: simulator_alone(policy.config, count, options.simulator_s) for count in (1, 2)}
    lines, update_s = [], 0.0
    for title, ranks, workers, extra in RUNS:
        speed = end_to_end(folder, ranks, workers, options, *extra)
        simulator = alone[ranks * workers]
        cells = [speed[name] for name in ("steps_per_s", "playing_steps_per_s", "learning_steps_per_s")]
        numbers = " | ".join(f"{cell:.0f}" for cell in (*cells, simulator))
        lines.append(f"| {size} | {title} | {numbers} | {cells[0] / simulator:.0%} |")
        print(lines[-1], file=sys.stderr)
        update_s = update_s or 1.0 / cells[2]
    return Rows(lines, update_s)


def config_of(size: str) -> PolicyConfig:
    """Returns `mini` with another image size."""
    height, width, rows, columns = SIZES[size]
    return replace(MINI, image=replace(MINI.image, height=height, width=width, rows=rows, columns=columns))


def clone(size: str) -> SpocPolicy:
    """Makes an untrained policy whose episodes are about as long as a trained one's."""
    policy = new_policy(config_of(size))
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] -= 0.9
    return policy.eval()


def end_to_end(run: Path, ranks: int, workers: int, options: Benchmark, *extra: str) -> dict[str, float]:
    """Measures the speeds of `ferry train ppo`, the mean over all updates but the first."""
    name = Path(tempfile.mkdtemp(prefix=f"{ranks}x{workers}_", dir=run)).name
    words = ["train", "ppo", "--run", str(run), "--name", name, *extra, "--warmup", "0", "--target-kl", "inf"]
    words += ["--episodes", str(options.episodes), "--workers", str(workers), "--jobs", "2", "--evaluate-every", "0"]
    words += ["--threads", "1" if ranks > 1 else str(workers), "--steps", "1000000000"]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", "--", "ferry"]
    line = [sys.executable, "-m", *(launcher if ranks > 1 else ["ferry"]), *words]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        assert process.stderr is not None
        for text in process.stderr:
            lines += re.findall(r"update \d+, .*steps_per_s .*", text)
            if len(lines) > options.updates - 1:
                break
    finally:
        process.terminate()
        process.communicate(timeout=60)
    speeds = [dict(re.findall(r"(\w*steps_per_s) ([\d.e+]+)", text)) for text in lines[1:]]
    return {name: 1.0 / float(np.mean([1.0 / float(speed[name]) for speed in speeds])) for name in speeds[0]}


class Simulator:
    """Drives at random in houses for some seconds, in a worker process."""

    def __init__(self, options: TwinOptions, config: PolicyConfig) -> None:
        self.twin = StretchTwin(options)
        self.twin.connect()
        self.binding = bind(config.spec(), self.twin.spec)
        next(self.drive(0))

    def drive(self, seed: int) -> Iterator[int]:
        """Takes steps without end; yields their number so far."""
        rng, count = np.random.default_rng(seed), 0
        for episode in training_episodes(rng, per_house=1):
            self.twin.reset(episode)
            for _ in range(LENGTH):
                self.twin.observe()
                self.twin.execute(self.binding.command(SPOC_ACTIONS.index(MOVES[int(rng.integers(3))])))
                count += 1
                yield count

    def __call__(self, job: tuple[int, float], report: Report) -> float:
        """Returns the steps per second of a job (seed, seconds)."""
        seed, seconds = job
        begin_s = time.perf_counter()
        for count in self.drive(seed):
            spent_s = time.perf_counter() - begin_s
            if spent_s > seconds:
                return count / spent_s
        raise AssertionError("houses never end")


def simulator_alone(config: PolicyConfig, workers: int, seconds: float) -> float:
    """Measures the total steps per second of `workers` processes."""
    make = partial(Simulator, twin_options(config, RolloutOptions()), config)
    with WorkerPool(make, workers) as pool:
        return sum(rate for _, rate in pool.run([(seed, seconds) for seed in range(workers)]))


class Clock:
    """Accumulates the time spent in methods, by part."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Adds the time of an object's method to a part."""
        inner = getattr(owner, method)

        def watched(*args: Any, **named: Any) -> Any:
            with self.counted(part):
                return inner(*args, **named)

        setattr(owner, method, watched)

    @contextmanager
    def counted(self, part: str) -> Iterator[None]:
        """Adds the time of the block to a part."""
        begin_s = time.perf_counter()
        yield
        self.spent_s[part] = self.spent_s.get(part, 0.0) + time.perf_counter() - begin_s


def parts_line(size: str, update_s: float) -> str:
    """Makes a line of the fractions of a step's time on one core; `update_s` is the update's."""
    policy = clone(size)
    worker = RolloutWorker(policy.config, arrays(frozen_weights(policy)), RolloutOptions(), RewardOptions())
    weights = arrays(trained_weights(policy))
    trajectories = worker(RolloutJob((0,), 16, weights), quiet)
    clock, rollout = Clock(), worker.rollout
    for twin in rollout.twins:
        for method in ("observe", "execute", "reset"):
            clock.watch(twin, method, "simulation and rendering")
    clock.watch(rollout.policy, "images", "encoder")
    clock.watch(rollout.policy, "text", "policy")
    clock.watch(rollout.cache, "step", "policy")
    with clock.counted("all"):
        trajectories = worker(RolloutJob((1,), 32, weights), quiet)
    steps = sum(map(len, trajectories))
    costs_s = {name: spent_s / steps for name, spent_s in clock.spent_s.items()}
    playing_s = costs_s.pop("all")
    whole_s, other_s = playing_s + update_s, playing_s - sum(costs_s.values())
    names = ("simulation and rendering", "encoder", "policy")
    cells = [*(costs_s[name] for name in names), other_s, update_s]
    return f"| {size} | " + " | ".join(f"{cell / whole_s:.0%} ({1e3 * cell:.2f} ms)" for cell in cells) + " |"


def quiet(steps: int) -> None:
    """Ignores reported steps."""


def learner_line(config: PolicyConfig, episodes: int, epochs: int) -> str:
    """Measures the decisions per second of an update: actor, critic, and the critic's values before it."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "bc" / "best.pt", "policy", policy_payload(new_policy(config)))
        threads = os.cpu_count() or 1
        torch.set_num_threads(threads)
        trainer = PpoTrainer(PpoOptions(Path(folder), epochs=epochs, warmup=0, threads=threads, target_kl=float("inf")))
    trainer.update_policy(RolloutBuffer.of([random_episode(config, 8, 0)]))
    some = RolloutBuffer.of([random_episode(config, LENGTH, seed) for seed in range(episodes)])
    spent_s = took(lambda: trainer.update_policy(some))
    return f"| {config.name} | {epochs * episodes * LENGTH / spent_s:.0f} | {epochs} x {episodes * LENGTH} |"


def took(work: Callable[[], object]) -> float:
    """Measures the seconds that `work` takes."""
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


def random_episode(config: PolicyConfig, steps: int, seed: int) -> Trajectory:
    """Makes an episode of noise that ended with `done`."""
    rng = np.random.default_rng(seed)
    shape = (steps, len(config.cameras), config.image.tokens, config.image.token_width)
    features = rng.standard_normal(shape, np.float32).astype(np.float16)
    actions = rng.integers(0, len(SPOC_ACTIONS.names), steps).astype(np.uint8)
    log_p, state = np.full(steps, -3.0, np.float32), np.zeros((steps, 1), np.float32)
    return Trajectory("find a mug", features, actions, state, actions, log_p, rng.random(steps), True, True, 0)


if __name__ == "__main__":
    main()
