"""`ferry train dagger`: episodes in which the clone acts and the expert labels.

DAgger (Ross et al. 2011, arXiv:1011.0686). The clone's action is sampled; a fraction of the steps is the expert's. A
wrong `done` is replaced by the expert's action; a `done` that the clone keeps missing is executed after a few steps.
Then train on both:
`ferry train bc --run RUN --name bc2 --data data dagger --init RUN/bc/best.pt --epochs 3 --lr 6e-4`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import tyro

from policy_server.onnx.sampling import choose
from robots.processes.text import counted
from robots.spec import F32Vector
from simulation.episode import LOOKS, check_looks
from simulation.task_registry import check_tasks
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import TwinOptions
from simulation.twins.registry import make_twin
from simulation.worker_pool import Report, WorkerPool
from training.bundles.start import load_policy
from training.closed_loop.rollout import ActiveEpisode, Rollout
from training.data.demonstration import training_episodes
from training.data.features import encoder_name
from training.data.shards import shard_path, write_metadata, write_shard
from training.imitation.collect import ShardReport
from training.models.config import PolicyConfig
from training.runtime.checkpoint import policy_from
from training.runtime.progress import Bar

PATIENCE = 3
"""Steps with the label `done` that the clone may miss before `done` is executed."""


@dataclass(frozen=True)
class DaggerOptions:
    """Collects episodes in which the clone acts and the expert labels."""

    run: Path = Path("runs/mini")
    checkpoint: Path | None = None
    """Checkpoint of the clone, what `ferry import --checkpoint` wrote, or a bundle of `mini`; by default the run's
    bc/best.pt."""
    name: str = "dagger"
    """Folder in the run for the data."""
    episodes: int = 2000
    minutes: float = 0.0
    """Starts no further shard after this time [min]; 0 for no limit."""
    shard: int = 50
    """Episodes per shard."""
    expert_share: float = 0.2
    """Fraction of the steps that execute the expert's action."""
    max_steps: int = 150
    """Longest episode."""
    workers: int = 2
    slots: int = 8
    """Episodes that one worker plays in parallel."""
    task: tuple[str, ...] = (TASK,)
    """Tasks in `simulation.task_registry`; with several, each episode's is drawn."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot."""
    looks: int = LOOKS[0]
    """Version of how the houses look, one of `simulation.episode.LOOKS`."""
    seed: int = 1

    @property
    def clone(self) -> Path:
        """The clone's checkpoint."""
        return self.checkpoint or self.run / "bc" / "best.pt"


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train dagger`."""
    options = tyro.cli(DaggerOptions, args=list(argv), prog="ferry train dagger")
    check_tasks(options.task, make_twin(options.body).spec)
    check_looks(options.looks)
    clone = load_policy(options.clone)
    config = policy_from(clone, options.clone).config
    encoder, folder = encoder_name(options.run, config, clone.get("origin", {})), options.run / options.name
    meta = {"encoder": encoder, "max_steps": options.max_steps, "shard": options.shard}
    meta |= {"task": list(options.task), "body": options.body, "looks": options.looks}
    write_metadata(folder, {**meta, "seed": options.seed, "kind": "dagger", "clone": str(options.clone)})
    numbers = [n for n in range(-(-options.episodes // options.shard)) if not shard_path(folder, n).is_file()]
    deadline = time.monotonic() + 60.0 * options.minutes if options.minutes else float("inf")
    reports: list[ShardReport] = []
    with (
        Bar("dagger", len(numbers) * options.shard, "episodes") as bar,
        WorkerPool(partial(DaggerCollector, options), options.workers, bar.steps) as pool,
    ):
        for _, report in pool.run(numbers, lambda: time.monotonic() < deadline):
            reports.append(report)
            bar.advance(report.episodes)
    steps, failed = sum(report.steps for report in reports), sum(report.failed for report in reports)
    print(
        f"{folder}: {counted(len(reports), 'shard')} made, {steps} steps, "
        f"{counted(failed, 'episode')} unsolved (kept: the labels are valid)"
    )
    return 0


class DaggerCollector:
    """Makes shards in a worker process."""

    def __init__(self, options: DaggerOptions) -> None:
        torch.set_num_threads(1)
        self.options = options
        self.policy = policy_from(load_policy(options.clone), options.clone)
        twin = _twin(self.policy.config)
        self.rollout = Rollout(self.policy, options.slots, twin, options.max_steps, options.body)

    def __call__(self, job: int, report: Report) -> ShardReport:
        """Writes shard `job`."""
        rng = np.random.default_rng([self.options.seed, 2, job])
        options, eye = self.options, self.rollout.twins[0].eye
        drawn = training_episodes(rng, max_steps=options.max_steps, tasks=options.task, eye=eye, looks=options.looks)
        records = []
        for slot in self.rollout.run(islice(drawn, options.shard), self._decide, keep=True):
            report(slot.steps)
            records.append(slot.record)
        write_shard(shard_path(options.run / options.name, job), records)
        steps, bumps = sum(len(each.labels) for each in records), sum(each.collisions for each in records)
        return ShardReport(len(records), steps, sum(not each.success for each in records), bumps)

    def _decide(self, slot: ActiveEpisode, logits: F32Vector) -> str:
        label, actions = slot.expert.action(), self.rollout.binding.actions
        assert slot.policy_input is not None
        slot.record.add(actions.index(label), slot.policy_input.previous_action, slot.policy_input.state)
        choice, _ = choose(logits, "sample", slot.rng)
        action = actions.names[choice]
        slot.ignored += label == "done" and action != "done"
        wrong_end = action == "done" and label != "done"
        if wrong_end or slot.ignored > PATIENCE or slot.rng.random() < self.options.expert_share:
            return label
        return action


def _twin(config: PolicyConfig) -> TwinOptions:
    image = config.image
    return TwinOptions(image.height, image.width, randomise_cameras=True, randomise_appearance=True)
