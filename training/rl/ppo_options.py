"""The options of `ferry train ppo`, each with FLaRe's value where it differs (Hu et al. 2025, arXiv:2409.16578)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.errors import ConfigError
from training.rl.rollout import PlayOptions, RewardOptions


@dataclass(frozen=True)
class PpoOptions:
    """Fine-tunes a cloned policy by reinforcement learning."""

    run: Path = Path("runs/mini")
    """Folder of the run."""
    name: str = "ppo"
    """Folder in the run for checkpoints (last.pt, best.pt) and TensorBoard files."""
    clone: Path | None = None
    """Checkpoint to start from; by default the run's bc/best.pt. The critic of one that PPO made is taken as well, but
    not with `scratch`."""
    resume: bool = False
    """Go on exactly where last.pt stopped."""
    steps: int = 2_000_000
    """Simulation steps in all; the last update may go over."""
    episodes: int = 128
    """Whole episodes per update, about 6,000 steps (FLaRe: 4,096)."""
    warmup: int = 8
    """Updates of the critic alone, 48,000 steps (FLaRe: 200,000 of 20 M)."""
    epochs: int = 3
    """Times an update sees its steps (FLaRe: 4)."""
    minibatches: int = 4
    """Optimiser steps per epoch (FLaRe: 1)."""
    lr: float = 1e-4
    """Of the actor, constant (FLaRe: 2e-5 for a network 20 times as large)."""
    critic_lr: float = 5e-4
    """Of the critic, constant (FLaRe: as the actor's)."""
    clip: float = 0.1
    gamma: float = 0.99
    decay: float = 0.95
    """GAE's lambda."""
    value_coefficient: float = 0.5
    value_clip: float = 0.0
    """Largest change of a value that lessens the critic's loss; 0 for no limit, as in FLaRe."""
    entropy_coefficient: float = 0.0
    """An entropy bonus is one of FLaRe's ablations (0.2), with which its policy collapses."""
    largest_norm: float = 0.5
    """Gradients of the actor and of the critic are each cut at this norm."""
    shared: bool = False
    """One network with two heads: one of FLaRe's ablations."""
    scratch: bool = False
    """Start from untrained weights (the image encoder stays as it is)."""
    kl_stop: float = 0.2
    """An update that moves the policy further than this [nat] ends the run as diverged; inf for never."""
    reward: RewardOptions = field(default_factory=RewardOptions)
    play: PlayOptions = field(default_factory=PlayOptions)
    context: int = 160
    """Steps per row; an episode is never cut."""
    microbatch: int = 16
    """Rows of a minibatch whose gradients are worked out at once and summed: it bounds the memory that an update takes
    and changes nothing else, up to rounding."""
    bf16: bool = True
    """Matrix products of the update in bfloat16."""
    device: str = "auto"
    """Where the update runs: cpu, cuda, or auto for cuda where there is one. Playing uses the CPU."""
    workers: int = 2
    """Simulator processes, of each rank."""
    shares: int = 4
    """Jobs per update; the workers of all ranks share them."""
    preempt: float = 1.0
    """Share of the ranks that must have finished playing before the rest drop their unfinished jobs (DD-PPO: 0.6).

    Jobs with long episodes are dropped more often, and an update is then no function of seed and number any more. 1
    waits for all ranks and drops none."""
    stall_s: float = 300.0
    """A simulator process that says nothing for so long counts as hung and is replaced."""
    threads: int = 2
    """Torch threads of the update; the workers wait meanwhile. 1 where other programs keep the cores busy."""
    save_every_s: float = 120.0
    evaluate_every: int = 200_000
    """Steps between evaluations in validation houses; 0 for none."""
    evaluate_episodes: int = 200
    evaluate_steps: int = 200
    """Longest episode of an evaluation."""
    seed: int = 0

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"


def check(options: PpoOptions, ranks: int) -> None:
    """Raises ConfigError where an update cannot be shared out like this."""
    if options.shares < ranks:
        raise ConfigError("shares", options.shares, f"at least one for each of {ranks} ranks")
    if options.microbatch < 1:
        raise ConfigError("microbatch", options.microbatch, "at least 1")


def comparable(options: PpoOptions) -> dict[str, Any]:
    """The options that a resumed run must share, as plain values."""
    free = {"resume", "run", "name", "clone", "steps", "save_every_s", "evaluate_every"}
    machine = {"device", "microbatch", "workers", "preempt", "stall_s", "threads"}
    return {name: value for name, value in asdict(options).items() if name not in free | machine}
