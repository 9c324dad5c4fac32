"""`ferry train pirlnav`: PIRLNav's fine-tuning (Ramrakhyani et al. 2023, arXiv:2301.07302), a baseline of FLaRe.

PPO with another schedule against forgetting: at first only the new critic head is trained, on a frozen network; then
the actor's learning rate rises from 0 while the critic's falls to the same value. Actor and critic share one network.
Values are those of the released code (Ram81/pirlnav configs/experiments/rl_ft_objectnav.yaml, pirlnav/config.py,
pirlnav/utils/lr_scheduler.py, pirlnav/algos/ppo.py) with these exceptions: the schedule's updates are a fifth of theirs
(20, 80, 50 and 100 of 20,000), because a run here has some hundred; the actor's rate of 1.5e-5 is raised by the same
factor of 5 as FLaRe's, for a network of 1 M parameters; an update plays whole episodes; the gradients of network and
critic head are clipped to a norm of 0.2 each, not together; and the head starts from small normal numbers, not from an
orthogonal matrix.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from training.rl.ppo import PpoOptions, PpoTrainer
from training.rl.reward import RewardOptions
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.trainer import train

ADAM_EPS = 1e-5


@dataclass(frozen=True)
class PirlnavOptions(PpoOptions):
    """Fine-tunes a cloned policy as PIRLNav does."""

    name: str = "pirlnav"
    """Folder in the run for checkpoints and TensorBoard files."""
    shared: bool = True
    """One network with two heads."""
    warmup: int = 10
    """Updates in which the network is frozen and only the critic's head is trained."""
    actor_full: int = 20
    """Update by which the actor's learning rate has risen to `lr`."""
    critic_falls: int = 4
    """Update at which the critic's learning rate begins to fall."""
    critic_fallen: int = 16
    """Update by which it has fallen to `lr`."""
    lr: float = 7.5e-5
    critic_lr: float = 2.5e-4
    clip_coef: float = 0.2
    value_clip: float = 0.2
    ent_coef: float = 0.01
    max_grad_norm: float = 0.2
    epochs: int = 4
    minibatches: int = 2
    reward: RewardOptions = field(default_factory=lambda: RewardOptions(success=2.5, step=-0.001))

    def rates(self, update: int) -> tuple[float, float]:
        """Returns the learning rates of the actor, with the network, and of the critic's head in an update."""
        falling = ramp(update, self.critic_falls, self.critic_fallen)
        return self.lr * ramp(update, self.warmup, self.actor_full), self.critic_lr + falling * (
            self.lr - self.critic_lr
        )


def ramp(now: int, start: int, end: int) -> float:
    """Linear ramp: 0 up to `start`, 1 from `end` on."""
    return min(max((now - start) / max(end - start, 1), 0.0), 1.0)


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train pirlnav`."""
    options = tyro.cli(PirlnavOptions, args=list(argv), prog="ferry train pirlnav")
    return train(PirlnavTrainer(options, shlex.join(["ferry", "train", "pirlnav", *argv])))


class PirlnavTrainer(PpoTrainer):
    """PPO with PIRLNav's schedule."""

    options: PirlnavOptions

    def __init__(self, options: PirlnavOptions, command: str = "") -> None:
        super().__init__(options, command)
        for group in self.optimiser.param_groups:
            group["eps"] = ADAM_EPS

    def update_policy(self, rollouts: RolloutBuffer) -> dict[str, float]:
        """Runs one update with its learning rates; a frozen network gets no gradient at all."""
        for group, rate in zip(self.optimiser.param_groups, self.options.rates(self.update), strict=True):
            group["lr"] = rate
        for parameter in self.groups[0]:
            parameter.requires_grad_(self.update >= self.options.warmup)
        rates = [float(group["lr"]) for group in self.optimiser.param_groups]
        return {**super().update_policy(rollouts), "actor_lr": rates[0], "critic_lr": rates[1]}
