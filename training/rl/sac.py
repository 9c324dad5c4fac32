"""`ferry train sac`: soft actor-critic instead of PPO, one of FLaRe's ablations; everything else stays the recipe's.

Discrete SAC (Christodoulou 2019, arXiv:1910.07207): the clone is the actor; two critics with a value per action start
from the clone with new heads, and are trained alone at first, as PPO's; target networks follow them; a temperature
keeps the policy's entropy near a set share of the largest. Episodes are kept whole and learnt from again and again,
because the policy remembers all of its episode. FLaRe names no values for this ablation: where the paper has some, they
are these.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from tyro.conf import Suppress

from training.data.packing import Batch, Instructions, collate, pack
from training.errors import Diverged
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import ActorCritic
from training.rl.advantages import places, predicted
from training.rl.ppo import Trainer, train
from training.rl.ppo_loss import kl_estimate, log_probabilities
from training.rl.ppo_options import PpoOptions
from training.rl.q_networks import TwinQ
from training.rl.rank_minibatches import Share
from training.rl.replay_buffer import Replay, Transitions, transitions
from training.rl.rollout import Played, per_step
from training.rl.sac_loss import actor_loss, entropies, follow, q_loss, soft_values, targets, temperature_loss
from training.runtime.checkpoint import load


@dataclass(frozen=True)
class SacOptions(PpoOptions):
    """Fine-tunes a cloned policy by soft actor-critic, in one process."""

    name: str = "sac"
    """Folder in the run for checkpoints, TensorBoard files and the replay."""
    gradient_steps: int = 32
    """Optimiser steps per update (the paper: one for every 4 steps played)."""
    batch_episodes: int = 16
    """Episodes per optimiser step, about 750 steps (the paper: 64 single steps)."""
    replay_steps: int = 100_000
    """Steps that are kept, in memory and on disk: 0.8 GB for `mini` (the paper: 1,000,000)."""
    follow: float = 0.005
    """Share of the way that the target networks go at each optimiser step (the paper's code)."""
    temperature: float = 1.0
    """At the beginning (the paper's code)."""
    temperature_lr: float = 3e-4
    entropy_share: float = 0.98
    """Of the largest entropy, which the temperature aims at (the paper); the `mini` clone's own is 0.2."""
    kl_stop: float = float("inf")
    """An update that moves the policy further than this [nat] ends the run as diverged; inf for never."""
    epochs: Suppress[int] = 0
    minibatches: Suppress[int] = 0
    microbatch: Suppress[int] = 1
    clip: Suppress[float] = 0.0
    decay: Suppress[float] = 0.0
    value_coefficient: Suppress[float] = 0.0
    value_clip: Suppress[float] = 0.0
    entropy_coefficient: Suppress[float] = 0.0
    shared: Suppress[bool] = False
    """What PPO alone uses."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train sac`."""
    options = tyro.cli(SacOptions, args=list(argv), prog="ferry train sac")
    return train(SacTrainer(options, shlex.join(["ferry", "train", "sac", *argv])))


class SacTrainer(Trainer):
    """SAC, update by update: plays, evaluates and keeps checkpoints as PPO does."""

    def __init__(self, options: SacOptions, command: str = "") -> None:
        super().__init__(options, command)
        self.soft = options
        self.critics = TwinQ(self.model.actor, options.seed).to(self.device)
        self.slow = deepcopy(self.critics).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(options.temperature), device=self.device))
        critics = [one for one in self.critics.parameters() if one.requires_grad]
        self.groups = [self.model.actor_parameters(), critics, [self.log_temperature]]
        rates = (options.lr, options.critic_lr, options.temperature_lr)
        groups = [{"params": one, "lr": rate} for one, rate in zip(self.groups, rates)]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.wanted_entropy = options.entropy_share * math.log(int(self.mask.sum()))
        self.replay = Replay(self.folder / "replay", options.replay_steps)

    def _networks(self, policy: SpocPolicy) -> ActorCritic:
        return ActorCritic(policy, shared=True, seed=self.options.seed)  # without PPO's critic

    def resume(self) -> None:
        """As PPO; takes up the critics, their targets, the temperature and the replay as well."""
        super().resume()
        payload = load(self.last, "policy")
        self.critics.load_state_dict(payload["critics"])
        self.slow.load_state_dict(payload["slow"])
        with torch.no_grad():
            self.log_temperature.fill_(payload["log_temperature"])
        self.replay.restore(payload["replay"])

    def payload(self) -> dict[str, Any]:
        """The checkpoint's content; the policy in it is the actor."""
        return {
            **super().payload(),
            "algorithm": "SAC",
            "critics": self.critics.state_dict(),
            "slow": self.slow.state_dict(),
            "log_temperature": self.log_temperature.item(),
            "replay": list(self.replay.updates),
        }

    def _save(self, name: str) -> None:
        super()._save(name)
        if name == "last.pt":
            self.replay.prune()

    def _learn(self, played: Sequence[Played], share: Share | None = None) -> dict[str, float]:
        """One update: some optimiser steps, each from other episodes of the replay."""
        options, warming = self.soft, self.update < self.soft.warmup
        self.replay.add(self.update, list(played))
        rng = np.random.default_rng([options.seed, 6, self.update])
        figures = [
            self._improve(self.replay.draw(rng, options.batch_episodes), warming) for _ in range(options.gradient_steps)
        ]
        mean = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
        self.update += 1
        self.steps += sum(map(len, played))
        self.window.extend(one.success for one in played)
        moved = self._moved(played)
        if not moved <= options.kl_stop:
            raise Diverged(self.update, moved, self.last, "KL divergence", f"at most {options.kl_stop} (kl_stop)")
        return {**mean, "kl": moved}

    def _improve(self, some: list[Played], warming: bool) -> dict[str, float]:
        """One optimiser step; while warming up, of the critics alone."""
        loss, figures = self._soft_loss(transitions(some, self.tokenizer), warming)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        norms = [float(torch.nn.utils.clip_grad_norm_(group, self.soft.largest_norm)) for group in self.groups]
        if not np.isfinite([loss.item(), *norms]).all():
            raise Diverged(self.update, loss.item(), self.last, "loss or gradient")
        self.optimiser.step()
        follow(self.slow.parameters(), self.critics.parameters(), self.soft.follow)
        return {**figures, "actor_norm": norms[0], "critic_norm": norms[1]}

    def _soft_loss(self, seen: Transitions, warming: bool) -> tuple[Tensor, dict[str, float]]:
        """All losses of some whole episodes; no two of them reach the same parameters."""
        log_p, q, slow = self._said(seen, warming)
        temperature = self.log_temperature.exp().detach()
        following = soft_values(log_p.detach(), slow.amin(0), temperature).roll(-1)
        acted, ended = torch.from_numpy(seen.acted).to(self.device), torch.from_numpy(seen.ended).to(self.device)
        actions = torch.from_numpy(seen.episodes.labels.astype(np.int64)).to(self.device)[acted]
        wanted = targets(self._there(seen.rewards), following, ended, self.soft.gamma)[acted]
        critic_loss = q_loss(q[0, acted], actions, wanted) + q_loss(q[1, acted], actions, wanted)
        figures = {"q_loss": critic_loss.item(), "target": wanted.mean().item(), "temperature": temperature.item()}
        if warming:
            return critic_loss, figures
        policy_loss = actor_loss(log_p[acted], q.amin(0)[acted].detach(), temperature)
        entropy = entropies(log_p[acted])
        figures |= {"policy_loss": policy_loss.item(), "entropy": entropy.mean().item()}
        return critic_loss + policy_loss + temperature_loss(self.log_temperature, entropy, self.wanted_entropy), figures

    def _said(self, seen: Transitions, warming: bool) -> tuple[Tensor, Tensor, Tensor]:
        """What the networks say of each step of a block: log-probabilities (S, A), critics and targets (2, S, A)."""
        rows = pack(seen.episodes.lengths, np.arange(len(seen.episodes)), self.soft.context)
        batch = collate(seen.episodes, seen.words, rows, self.soft.context)
        place, source = places(seen.episodes, batch)
        order = torch.from_numpy(np.argsort(source)).to(self.device)  # of the rows' steps, as the block has them
        batch, place = batch.to(self.device), place.to(self.device)
        with self._autocast():
            with torch.set_grad_enabled(not warming):
                logits = self.model.logits(batch, seen.words)
            q = self.critics(batch, seen.words)
            with torch.no_grad():
                slow = self.slow(batch, seen.words)
        return log_probabilities(logits[place][order], self.mask), q[:, place][:, order], slow[:, place][:, order]

    def _moved(self, played: Sequence[Played]) -> float:
        """How far the policy is now from the one that played [nat]."""
        seen = transitions(list(played), self.tokenizer)
        with self._autocast():
            new = predicted(seen.episodes, seen.words, self._taken, self.soft.context)
        old = per_step(played, [one.log_p for one in played])
        return float(kl_estimate(torch.from_numpy(new[seen.acted]), torch.from_numpy(old[seen.acted])))

    def _taken(self, batch: Batch, words: Instructions) -> Tensor:
        """Log-probabilities (B, T) of the actions that were taken."""
        log_p = log_probabilities(self.model.logits(batch.to(self.device), words), self.mask).cpu()
        return log_p.gather(-1, batch.labels.cpu().clamp_min(0)[..., None])[..., 0]
