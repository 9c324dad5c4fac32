"""Options of `ferry train ppo`, each with FLaRe's value where it differs (Hu et al. 2025, arXiv:2409.16578)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from training.errors import ConfigError
from training.rl.rollout import RewardOptions, RolloutOptions

FORMER_NAMES: Mapping[str, str] = MappingProxyType({
    "clip": "clip_coef", "decay": "gae_lambda", "largest_norm": "max_grad_norm", "scratch": "from_scratch",
    "kl_stop": "target_kl",
})  # fmt: skip
"""Names of options in checkpoints that were written before they were renamed -> names now."""


@dataclass(frozen=True)
class PpoOptions:
    """Fine-tunes a cloned policy by reinforcement learning."""

    run: Path = Path("runs/mini")
    """Folder of the run."""
    name: str = "ppo"
    """Folder in the run for checkpoints (last.pt, best.pt) and TensorBoard files."""
    clone: Path | None = None
    """Checkpoint to start from; by default the run's bc/best.pt. The critic of one that PPO made is loaded as well, but
    not with `from_scratch`."""
    resume: bool = False
    """Continue from last.pt, as if the run had not been interrupted."""
    steps: int = 2_000_000
    """Simulation steps in total; the last update may exceed it."""
    episodes: int = 128
    """Whole episodes per update, about 6,000 steps (FLaRe: 4,096)."""
    warmup: int = 8
    """Updates that train the critic alone, 48,000 steps (FLaRe: 200,000 of 20 M)."""
    epochs: int = 3
    """Passes over the steps of an update (FLaRe: 4)."""
    minibatches: int = 4
    """Optimiser steps per epoch (FLaRe: 1)."""
    lr: float = 1e-4
    """Learning rate of the actor, constant (FLaRe: 2e-5 for a network 20 times as large)."""
    critic_lr: float = 5e-4
    """Learning rate of the critic, constant (FLaRe: as the actor's)."""
    clip_coef: float = 0.1
    """Clipping range of the probability ratio."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss."""
    value_clip: float = 0.0
    """Clipping range of the change of a value in the critic's loss; 0 for none, as in FLaRe."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus: one of FLaRe's ablations (0.2), with which its policy collapses."""
    max_grad_norm: float = 0.5
    """Gradients of the actor and of the critic are each clipped to this norm."""
    shared: bool = False
    """One network with two heads instead of two networks: one of FLaRe's ablations."""
    from_scratch: bool = False
    """Start from untrained weights (the image encoder stays as it is)."""
    target_kl: float = 0.2
    """Largest KL divergence [nat] between the policies before and after an update; beyond it the run ends as diverged.
    inf for no limit."""
    reward: RewardOptions = field(default_factory=RewardOptions)
    play: RolloutOptions = field(default_factory=RolloutOptions)
    context: int = 160
    """Steps per row; an episode is never cut."""
    microbatch: int = 16
    """Rows of a minibatch whose gradients are computed at once and accumulated: bounds the memory of an update and
    changes nothing else, up to rounding."""
    bf16: bool = True
    """Matrix products of the update in bfloat16."""
    device: str = "auto"
    """Device of the update: cpu, cuda, or auto for cuda where there is one. Rollouts run on the CPU."""
    workers: int = 2
    """Simulator processes of each rank."""
    shares: int = 4
    """Rollout jobs per update, divided among the workers of all ranks."""
    preempt: float = 1.0
    """Fraction of the ranks that must have finished their rollouts before the rest drop unfinished jobs (DD-PPO: 0.6).

    Jobs with long episodes are dropped more often, and an update then depends on timing, not on seed and number alone.
    1 waits for all ranks and drops none."""
    stall_s: float = 300.0
    """A simulator process that reports nothing for so long counts as hung and is replaced."""
    threads: int = 2
    """Torch threads of the update; the workers wait meanwhile. 1 where other programs keep the cores busy."""
    save_every_s: float = 120.0
    """Seconds between checkpoints."""
    evaluate_every: int = 200_000
    """Steps between evaluations in validation houses; 0 for none."""
    evaluate_episodes: int = 200
    """Episodes of an evaluation, one per house."""
    evaluate_steps: int = 200
    """Longest episode of an evaluation."""
    seed: int = 0

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"


def check(options: PpoOptions, ranks: int) -> None:
    """Raises ConfigError for options that do not allow an update on so many ranks."""
    if options.shares < ranks:
        raise ConfigError("shares", options.shares, f"at least one for each of {ranks} ranks")
    if options.microbatch < 1:
        raise ConfigError("microbatch", options.microbatch, "at least 1")


def comparable(options: PpoOptions) -> dict[str, Any]:
    """Returns the options that a resumed run must have in common with the first, as plain values."""
    free = {"resume", "run", "name", "clone", "steps", "save_every_s", "evaluate_every"}
    machine = {"device", "microbatch", "workers", "preempt", "stall_s", "threads"}
    return {name: value for name, value in asdict(options).items() if name not in free | machine}
