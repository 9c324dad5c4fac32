"""`ferry train sac`: soft actor-critic instead of PPO, one of FLaRe's ablations; everything else stays the recipe's.

Discrete SAC (Christodoulou 2019, arXiv:1910.07207): the clone is the actor; two critics with a value per action start
from the clone with new heads, and are trained alone at first, as PPO's; target networks follow them; a temperature
keeps the policy's entropy near a set fraction of the maximum. The replay buffer holds whole episodes, because the
policy attends to all of its episode. FLaRe names no values for this ablation; values are the paper's where it has some.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from training.data.packing import Batch, Instructions, collate, pack
from training.errors import Diverged
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import ActorCritic, TwinQ
from training.rl.options import RlOptions
from training.rl.ppo_loss import kl_estimate, log_probabilities
from training.rl.replay_buffer import ReplayBuffer, Transitions, transitions
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.sac_loss import actor_loss, entropies, follow, q_loss, soft_values, targets, temperature_loss
from training.rl.trainer import RlTrainer, train
from training.rl.trajectory import Trajectory, per_step, places, predicted
from training.runtime.checkpoint import load


@dataclass(frozen=True)
class SacOptions(RlOptions):
    """Fine-tunes a cloned policy by soft actor-critic, in one process."""

    name: str = "sac"
    """Folder in the run for checkpoints, TensorBoard files and the replay buffer."""
    gradient_steps: int = 32
    """Optimiser steps per update (the paper: one for every 4 steps played)."""
    batch_episodes: int = 16
    """Episodes per optimiser step, about 750 steps (the paper: 64 single steps)."""
    replay_steps: int = 100_000
    """Size of the replay buffer in steps, in memory and on disk: 0.8 GB for `mini` (the paper: 1,000,000)."""
    tau: float = 0.005
    """Coefficient of the target networks' update at each optimiser step (the paper's code)."""
    temperature: float = 1.0
    """Initial temperature (the paper's code)."""
    temperature_lr: float = 3e-4
    target_entropy_scale: float = 0.98
    """Target entropy as a fraction of the maximum (the paper); the `mini` clone's own is 0.2."""
    target_kl: float = float("inf")
    """Largest KL divergence [nat] between the policies before and after an update; beyond it the run ends as diverged.
    inf for no limit."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train sac`."""
    options = tyro.cli(SacOptions, args=list(argv), prog="ferry train sac")
    return train(SacTrainer(options, shlex.join(["ferry", "train", "sac", *argv])))


class SacTrainer(RlTrainer):
    """SAC, update by update."""

    options: SacOptions
    algorithm = "SAC"

    def __init__(self, options: SacOptions, command: str = "") -> None:
        super().__init__(options, command)
        self.critics = TwinQ(self.model.actor, options.seed).to(self.device)
        self.slow = deepcopy(self.critics).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(options.temperature), device=self.device))
        critics = [parameter for parameter in self.critics.parameters() if parameter.requires_grad]
        self.optimise(
            (self.model.actor_parameters(), options.lr),
            (critics, options.critic_lr),
            ([self.log_temperature], options.temperature_lr),
        )
        self.wanted_entropy = options.target_entropy_scale * math.log(int(self.mask.sum()))
        self.replay = ReplayBuffer(self.folder / "replay", options.replay_steps)

    def make_networks(self, policy: SpocPolicy) -> ActorCritic:
        """Makes the actor, without PPO's critic."""
        return ActorCritic(policy, shared=True, seed=self.options.seed)

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            RewardError, WorkersLost: during a rollout; last.pt holds every update until then.
            Diverged: last.pt is from before.
        """
        with self.update_loop(stopping, updates) as loop:
            for rollouts in loop.collect_rollouts():
                with loop.log.timed("learning"):
                    metrics = self.update_policy(rollouts)
                loop.finish(rollouts, metrics)  # logs, saves, evaluates

    def resume(self) -> None:
        """As PPO; restores the critics, their targets, the temperature and the replay buffer as well."""
        super().resume()
        payload = load(self.last, "policy")
        self.critics.load_state_dict(payload["critics"])
        self.slow.load_state_dict(payload["slow"])
        with torch.no_grad():
            self.log_temperature.fill_(payload["log_temperature"])
        self.replay.restore(payload["replay"])

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content; the policy in it is the actor."""
        return {
            **super().payload(),
            "critics": self.critics.state_dict(),
            "slow": self.slow.state_dict(),
            "log_temperature": self.log_temperature.item(),
            "replay": list(self.replay.updates),
        }

    def save(self, name: str) -> None:
        """Writes a checkpoint, and deletes the episodes that it no longer lists."""
        super().save(name)
        if name == "last.pt":
            self.replay.prune()

    def update_policy(self, rollouts: RolloutBuffer) -> dict[str, float]:
        """Runs one update: `gradient_steps` optimiser steps, each on episodes drawn from the replay buffer."""
        options, warming = self.options, self.update < self.options.warmup
        self.replay.add(self.update, rollouts.trajectories)
        rng = np.random.default_rng([options.seed, 6, self.update])
        metrics = [
            self.optimiser_step(self.replay.draw(rng, options.batch_episodes), warming)
            for _ in range(options.gradient_steps)
        ]
        mean = {name: float(np.mean([values[name] for values in metrics])) for name in metrics[0]}
        self.count(rollouts)
        kl = self._kl(rollouts.trajectories)
        if not kl <= options.target_kl:
            raise Diverged(self.update, kl, self.last, "KL divergence", f"at most {options.target_kl} (target_kl)")
        return {**mean, "kl": kl}

    def optimiser_step(self, episodes: list[Trajectory], warming: bool) -> dict[str, float]:
        """Makes one optimiser step; while warming up, of the critics alone."""
        loss, metrics = self.loss(transitions(episodes, self.tokenizer), warming)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        norms = [float(torch.nn.utils.clip_grad_norm_(group, self.options.max_grad_norm)) for group in self.groups]
        if not np.isfinite([loss.item(), *norms]).all():
            raise Diverged(self.update, loss.item(), self.last, "loss or gradient")
        self.optimiser.step()
        follow(self.slow.parameters(), self.critics.parameters(), self.options.tau)
        return {**metrics, "actor_norm": norms[0], "critic_norm": norms[1]}

    def loss(self, block: Transitions, warming: bool) -> tuple[Tensor, dict[str, float]]:
        """Computes the sum of all losses of whole episodes; no two losses have gradients in the same parameters."""
        log_p, q, slow = self.evaluate_networks(block, warming)
        temperature = self.log_temperature.exp().detach()
        following = soft_values(log_p.detach(), slow.amin(0), temperature).roll(-1)
        acted, ended = torch.from_numpy(block.acted).to(self.device), torch.from_numpy(block.ended).to(self.device)
        actions = torch.from_numpy(block.episodes.labels.astype(np.int64)).to(self.device)[acted]
        wanted = targets(self.to_device(block.rewards), following, ended, self.options.gamma)[acted]
        critic_loss = q_loss(q[0, acted], actions, wanted) + q_loss(q[1, acted], actions, wanted)
        metrics = {"q_loss": critic_loss.item(), "target": wanted.mean().item(), "temperature": temperature.item()}
        if warming:
            return critic_loss, metrics
        policy_loss = actor_loss(log_p[acted], q.amin(0)[acted].detach(), temperature)
        entropy = entropies(log_p[acted])
        metrics |= {"policy_loss": policy_loss.item(), "entropy": entropy.mean().item()}
        return critic_loss + policy_loss + temperature_loss(self.log_temperature, entropy, self.wanted_entropy), metrics

    def evaluate_networks(self, block: Transitions, warming: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Returns a block's log-probabilities (S, A) and the values (2, S, A) of critics and target networks."""
        rows = pack(block.episodes.lengths, np.arange(len(block.episodes)), self.options.context)
        batch = collate(block.episodes, block.words, rows, self.options.context)
        place, source = places(block.episodes, batch)
        order = torch.from_numpy(np.argsort(source)).to(self.device)  # of the rows' steps, as the block has them
        batch, place = batch.to(self.device), place.to(self.device)
        with self.autocast():
            with torch.set_grad_enabled(not warming):
                logits = self.model.logits(batch, block.words)
            q = self.critics(batch, block.words)
            with torch.no_grad():
                slow = self.slow(batch, block.words)
        return log_probabilities(logits[place][order], self.mask), q[:, place][:, order], slow[:, place][:, order]

    def _kl(self, trajectories: Sequence[Trajectory]) -> float:
        """Estimates the KL divergence [nat] of the policy from the one that played."""
        block = transitions(list(trajectories), self.tokenizer)
        with self.autocast():
            new = predicted(block.episodes, block.words, self._taken, self.options.context)
        old = per_step(trajectories, [trajectory.log_p for trajectory in trajectories])
        return float(kl_estimate(torch.from_numpy(new[block.acted]), torch.from_numpy(old[block.acted])))

    def _taken(self, batch: Batch, words: Instructions) -> Tensor:
        """Computes log-probabilities (B, T) of the actions that were taken."""
        log_p = log_probabilities(self.model.logits(batch.to(self.device), words), self.mask).cpu()
        return log_p.gather(-1, batch.labels.cpu().clamp_min(0)[..., None])[..., 0]
