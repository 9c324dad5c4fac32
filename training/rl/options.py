"""Options that PPO and SAC share, each with FLaRe's value where it differs (Hu et al. 2025, arXiv:2409.16578)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from simulation.episode import LOOKS
from simulation.tasks.object_nav import TASK
from training.errors import ConfigError
from training.rl.reward import RewardOptions
from training.runtime.options import RunOptions, WorkerOptions

FORMER_NAMES: Mapping[str, str] = MappingProxyType({
    "clip": "clip_coef", "decay": "gae_lambda", "largest_norm": "max_grad_norm", "scratch": "from_scratch",
    "kl_stop": "target_kl", "entropy_coefficient": "ent_coef", "value_coefficient": "vf_coef", "shares": "jobs",
    "follow": "tau", "entropy_share": "target_entropy_scale",
})  # fmt: skip
"""Names of options in checkpoints that were written before they were renamed -> names now."""


@dataclass(frozen=True)
class RolloutOptions:
    """Options of the rollouts."""

    max_steps: int = 150
    """Longest episode; it is truncated there, not terminated."""
    contact: str = "strict"
    """strict, or slide (a curriculum only: no real base slides)."""
    slots: int = 16
    """Episodes that one worker plays in parallel, in one batch of the policy."""
    bf16: bool = True
    """Image encoder in bfloat16."""
    task: tuple[str, ...] = (TASK,)
    """Tasks in `simulation.task_registry`; with several, each episode's is drawn."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot. Actions that it lacks are masked; two actions of the LoCoBot move its camera."""
    looks: int = LOOKS[0]
    """Version of how the houses look, one of `simulation.episode.LOOKS`."""


@dataclass(frozen=True)
class RlOptions(WorkerOptions, RunOptions):
    """Fine-tunes a cloned policy by reinforcement learning."""

    clone: Path | None = None
    """Checkpoint to start from, or a bundle of `mini` that was exported from one; by default the run's bc/best.pt. One
    that `ferry import --checkpoint` wrote has its own size. The critic of a checkpoint that PPO made, here or as FLaRe,
    is loaded as well, but not with `from_scratch`; a bundle has none."""
    from_scratch: bool = False
    """Start from untrained weights (frozen encoders stay as they are)."""
    steps: int = 2_000_000
    """Simulation steps in total; the last update may exceed it."""
    episodes: int = 128
    """Whole episodes per update, about 6,000 steps (FLaRe: 4,096)."""
    warmup: int = 8
    """Updates that train the critic alone, 48,000 steps (FLaRe: 200,000 of 20 M)."""
    lr: float = 1e-4
    """Learning rate of the actor, constant (FLaRe: 2e-5 for a network 20 times as large)."""
    critic_lr: float = 5e-4
    """Learning rate of the critic, constant (FLaRe: as the actor's)."""
    gamma: float = 0.99
    """Discount."""
    max_grad_norm: float = 0.5
    """Gradients of the actor and of the critic are each clipped to this norm."""
    target_kl: float = 0.2
    """Largest KL divergence [nat] between the policies before and after an update; beyond it the run ends as diverged.
    inf for no limit."""
    reward: RewardOptions = field(default_factory=RewardOptions)
    play: RolloutOptions = field(default_factory=RolloutOptions)
    context: int = 160
    """Steps per row; an episode is never cut."""
    bf16: bool = True
    """Matrix products of the update in bfloat16."""
    jobs: int = 4
    """Rollout jobs per update, divided among the workers of all ranks."""
    preempt: float = 1.0
    """Fraction of the ranks that must have finished their rollouts before the rest drop unfinished jobs (DD-PPO: 0.6).

    Jobs with long episodes are dropped more often, and an update then depends on timing, not on seed and number alone.
    1 waits for all ranks and drops none."""
    evaluate_every: int = 200_000
    """Steps between evaluations in validation houses; 0 for none."""
    evaluate_episodes: int = 200
    """Episodes of an evaluation, one per house."""
    evaluate_steps: int = 200
    """Longest episode of an evaluation."""

    free: ClassVar[frozenset[str]] = RunOptions.free | {
        "clone", "steps", "evaluate_every", "microbatch", "workers", "preempt", "stall_s",
    }  # fmt: skip

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"

    def check(self, ranks: int) -> None:
        """Raises ConfigError for options that do not allow an update on so many ranks."""
        if self.jobs < ranks:
            raise ConfigError("jobs", self.jobs, f"at least one for each of {ranks} ranks")
