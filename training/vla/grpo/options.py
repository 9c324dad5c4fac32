"""Options of `ferry train grpo`, each with SimpleVLA-RL's value where it differs (Li et al. 2025, arXiv:2509.09674)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from training.errors import ConfigError
from training.runtime.options import RunOptions
from training.vla.grpo.loss import AGGREGATIONS
from training.vla.policy.compute_options import ComputeOptions
from training.vla.rollout.pool_options import PoolOptions
from training.vla.rollout.task_options import TaskOptions

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"most_tries": "max_tries"})
"""Names of options in checkpoints that were written before they were renamed -> names now."""


@dataclass(frozen=True)
class GrpoOptions(ComputeOptions, PoolOptions, RunOptions):
    """Fine-tunes a policy by its own success."""

    run: Path = Path("runs/vla")
    """Folder of the run."""
    name: str = "grpo"
    """Folder in the run for the checkpoint (last.pt) and TensorBoard files."""
    threads: int = 1
    """Torch threads of the update."""
    save_every_s: float = 60.0
    """Seconds between checkpoints."""
    start: Path | None = None
    """Checkpoint to start from; by default the run's sft/last.pt."""
    lora_rank: int = 0
    """Rank of the adapters (LoRA) that alone are trained in an imported policy; 0 for all its weights, or for a policy
    that has adapters from SFT."""
    tasks: TaskOptions = field(default_factory=TaskOptions)
    steps: int = 60
    """Steps in total, each of a rollout and an update; 0 only evaluates."""
    groups: int = 8
    """Mixed groups of a step (theirs: 64)."""
    group_size: int = 8
    """Trajectories of a group, which begin in the same state."""
    max_tries: int = 4
    """At most so many times `groups` are played in a step to find the mixed ones (dynamic sampling)."""
    dynamic_sampling: bool = True
    """Keep only mixed groups; without it, the first `groups` (one of the paper's ablations)."""
    temperature: float = 0.6
    """Of sampling and of the log-probabilities alike. 1.6 as in the paper suits a model of 7 B parameters; the small
    network fails with it."""
    rows: int = 8
    """Actions executed of each chunk before the policy looks again."""
    epochs: int = 3
    """Passes over the trajectories of a step (theirs: 1)."""
    minibatch: int = 16
    """Trajectories of an optimiser step (theirs: 128)."""
    microbatch: int = 256
    """Chunks whose gradients are computed at once and accumulated: bounds the memory and changes nothing else."""
    aggregation: str = "trajectory"
    """trajectory: each has the same weight, as in the paper; token: each token has."""
    clip_low: float = 0.2
    clip_high: float = 0.28
    """The ratio of probabilities is clipped to [1 - clip_low, 1 + clip_high] (clip-higher)."""
    lr: float = 1e-4
    """Peak learning rate (theirs: 5e-6, constant); 3e-4 is too large for the small network."""
    warmup: int = 10
    """Optimiser steps in which the learning rate rises."""
    last_lr: float = 0.1
    """Fraction of the peak that the learning rate falls to by the last step, along a cosine; 1 keeps it."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    """The gradient is clipped to this norm."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights over optimiser steps, which is then evaluated and saved as
    the policy, e.g. 0.99; 0 for none."""
    evaluate_every: int = 10
    """Steps between evaluations on held-out states, with the most probable tokens; 0 for none."""
    evaluate_states: int = 50
    """States of an evaluation, divided among the tasks; always the same ones."""

    free: ClassVar[frozenset[str]] = RunOptions.free | {
        "start", "evaluate_every", "evaluate_states", "microbatch", "workers", "stall_s", "ray", "sharded",
    }  # fmt: skip

    @property
    def source(self) -> Path:
        """Checkpoint of the policy to start from."""
        return self.start or self.run / "sft" / "last.pt"


def check_ranks(options: GrpoOptions, ranks: int) -> None:
    """Raises ConfigError for options that allow no training on so many ranks."""
    if options.groups < ranks:
        raise ConfigError("groups", options.groups, f"at least one for each of {ranks} ranks")


def check(options: GrpoOptions, chunk: int) -> None:
    """Raises ConfigError for options that allow no training."""
    for what, got, least in (
        ("groups", options.groups, 1),
        ("group_size", options.group_size, 2),
        ("minibatch", options.minibatch, 1),
        ("microbatch", options.microbatch, 1),
        ("max_tries", options.max_tries, 1),
    ):
        if got < least:
            raise ConfigError(what, got, f"at least {least}")
    if not options.temperature > 0:
        raise ConfigError("temperature", options.temperature, "more than 0: equal trajectories teach nothing")
    if not 1 <= options.rows <= chunk:
        raise ConfigError("rows", options.rows, f"1 to {chunk}, the policy's chunk")
    if options.aggregation not in AGGREGATIONS:
        raise ConfigError("aggregation", repr(options.aggregation), f"one of {', '.join(AGGREGATIONS)}")
    if not 0 <= options.ema < 1:
        raise ConfigError("ema", options.ema, "from 0 to less than 1")
