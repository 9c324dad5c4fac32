"""`ferry train ppo`: fine-tunes a cloned policy with PPO (FLaRe, Hu et al. 2025, arXiv:2409.16578).

As in FLaRe, to prevent catastrophic forgetting: actor and critic are two networks that both start from the clone; the
critic alone is trained at first; learning rate and clipping range are small; no entropy bonus; advantages are not
normalised; the reward is sparse. Also as in FLaRe: gamma, lambda, the value coefficient, gradients clipped to a norm
of 0.5, Adam, several whole episodes in one row of block-causal attention.

Different, because this runs on two cores: an update plays whole episodes instead of 128 steps of each simulator, so
only an episode of maximum length is truncated; minibatches; a larger learning rate for a network of 1 M instead of
21 M parameters.

This file reads from top to bottom: options, the loop (`run`), advantages (`compute_advantages`), the epochs of an
update (`update_policy`), a minibatch (`optimiser_step`), its loss (`loss`). Beside it: ppo_loss.py has the formulas,
rollout.py plays the episodes, rollout_buffer.py draws the minibatches (also over several ranks), trainer.py keeps
checkpoints and evaluates.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor

from training.data.packing import Batch, Instructions, collate
from training.data.shards import Episodes
from training.errors import ConfigError, Diverged
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import ActorCritic, unfused_attention
from training.rl.options import RlOptions
from training.rl.ppo_loss import (
    clip_fraction,
    clipped_surrogate,
    entropy,
    explained_variance,
    gae,
    kl_estimate,
    log_probabilities,
    of_actions,
    value_loss,
)
from training.rl.rollout import RolloutCollector
from training.rl.rollout_buffer import Minibatch, RolloutBuffer
from training.rl.rollout_thread import RolloutThread
from training.rl.trainer import RlTrainer, train
from training.rl.trajectory import Trajectory, joined, per_step, places, predicted, trainable_mask
from training.runtime.checkpoint import load
from training.runtime.distributed import Ranks, device_of, torchrun
from training.runtime.weights import Weights, arrays, tensors


@dataclass(frozen=True)
class PpoOptions(RlOptions):
    """Fine-tunes a cloned policy by proximal policy optimisation."""

    name: str = "ppo"
    """Folder in the run for checkpoints (last.pt, best.pt) and TensorBoard files."""
    epochs: int = 3
    """Passes over the steps of an update (FLaRe: 4)."""
    minibatches: int = 4
    """Optimiser steps per epoch (FLaRe: 1)."""
    microbatch: int = 16
    """Rows of a minibatch whose gradients are computed at once and accumulated: bounds the memory of an update and
    changes nothing else, up to rounding."""
    clip_coef: float = 0.1
    """Clipping range of the probability ratio."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    vf_coef: float = 0.5
    """Weight of the critic's loss."""
    value_clip: float = 0.0
    """Clipping range of the change of a value in the critic's loss; 0 for none, as in FLaRe."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus: one of FLaRe's ablations (0.2), with which its policy collapses."""
    shared: bool = False
    """One network with two heads instead of two networks: one of FLaRe's ablations."""
    overlap: bool = False
    """Play an update's episodes while the one before is learnt from, with the weights from before that: one update
    behind. On one rank."""

    def check(self, ranks: int) -> None:
        """Raises ConfigError for options that do not allow an update on so many ranks."""
        super().check(ranks)
        if self.microbatch < 1:
            raise ConfigError("microbatch", self.microbatch, "at least 1")
        if self.overlap and ranks > 1:
            raise ConfigError("overlap", f"{ranks} ranks", "one rank")


@dataclass(frozen=True)
class Advantages:
    """Steps (S,) of an update's episodes, and what the losses need of each.

    Attributes:
        episodes: the block; a truncated episode has one step more than it has actions.
        words: the episodes' instructions.
        acted: bool, whether the step has an action to learn from.
        old_log_p: float32, log-probability of the action when it was chosen.
        values: float32, the critic's before the update.
        advantages: float32.
        returns: float32, the critic's targets.
    """

    episodes: Episodes
    words: Instructions
    acted: npt.NDArray[np.bool_]
    old_log_p: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    advantages: npt.NDArray[np.float32]
    returns: npt.NDArray[np.float32]

    def actions_in(self, batch: Batch) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Returns where a batch holds steps with an action, (B, T) bool, and which of the S steps these are, (n,)."""
        place, source = places(self.episodes, batch)
        acted = self.acted[source]
        place[place.clone()] = torch.from_numpy(acted)
        return place, source[acted]


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ppo`."""
    options = tyro.cli(PpoOptions, args=list(argv), prog="ferry train ppo")
    with torchrun(device_of(options.device)) as ranks:
        return train(PpoTrainer(options, shlex.join(["ferry", "train", "ppo", *argv]), ranks))


class PpoTrainer(RlTrainer):
    """PPO, update by update.

    Attributes:
        behind: with `overlap`, the actor's weights before the last update, which play the next one's episodes.
    """

    options: PpoOptions
    algorithm = "PPO (FLaRe)"

    def __init__(self, options: PpoOptions, command: str = "", ranks: Ranks | None = None) -> None:
        super().__init__(options, command, ranks)
        self.behind: Weights = {}
        self.optimise((self.model.actor_parameters(), options.lr), (self.model.critic_parameters(), options.critic_lr))

    def make_networks(self, policy: SpocPolicy) -> ActorCritic:
        """Makes actor and critic from the clone."""
        return ActorCritic(policy, shared=self.options.shared, seed=self.options.seed)

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            RewardError, WorkersLost, RanksLost: during a rollout; last.pt holds every update until then.
            Diverged, or RanksLost during an update: last.pt is from before.
        """
        with self.update_loop(stopping, updates) as loop, RolloutThread(loop.collector.collect, stopping) as beside:
            for rollouts in loop.collect_rollouts(partial(self.next_rollouts, loop.collector, beside, stopping)):
                with loop.log.timed("learning"):
                    self.play_ahead(beside, rollouts, loop.end)
                    metrics = self.update_policy(rollouts)
                loop.finish(rollouts, metrics)  # logs, saves, evaluates

    def next_rollouts(
        self, collector: RolloutCollector, beside: RolloutThread, stopping: Callable[[], bool]
    ) -> RolloutBuffer | None:
        """Returns this update's episodes; with `overlap` those that were begun during the last one."""
        if not self.options.overlap:
            return self.collect_rollouts(collector, stopping)
        if beside.idle:  # of the first update, or of a resumed run
            beside.begin(self.update, self.jobs_with(self.update, self.behind or self.acting_weights()))
        return self.saving(beside.take)

    def play_ahead(self, beside: RolloutThread, rollouts: RolloutBuffer, end: int | None) -> None:
        """With `overlap`, begins the next update's episodes with the weights of now, unless this is the last update."""
        if not self.options.overlap:
            return
        self.behind = self.acting_weights()
        following = self.update + 1
        if self.steps + rollouts.steps < self.options.steps and following != end:
            beside.begin(following, self.jobs_with(following, self.behind))

    def payload(self) -> dict[str, Any]:
        """Adds the weights with which the next update's episodes are played, where they are not those of the policy."""
        return {**super().payload(), **({"behind": tensors(self.behind)} if self.behind else {})}

    def resume(self) -> None:
        """As any training; with `overlap` the next episodes are played one update behind, as they would have been."""
        super().resume()
        if self.options.overlap:
            self.behind = arrays(load(self.last, "policy").get("behind", {}))

    def compute_advantages(self, trajectories: Sequence[Trajectory]) -> Advantages:
        """Computes advantages and returns of episodes with the critic; no gradient."""
        options, episodes = self.options, joined(trajectories)
        words = Instructions(episodes, self.tokenizer)
        with self.autocast():
            values = predicted(episodes, words, self._values, options.context)
        advantages = []
        for trajectory, start, length in zip(trajectories, episodes.starts, episodes.lengths):
            own = values[start : start + length].astype(np.float64)
            bootstrap = 0.0 if trajectory.said_done else own[-1]  # truncated: the last step has no action
            advantages.append(
                gae(trajectory.rewards, own[: len(trajectory)], bootstrap, options.gamma, options.gae_lambda)
            )
        flat, acted = per_step(trajectories, advantages), trainable_mask(trajectories)
        old_log_p = per_step(trajectories, [trajectory.log_p for trajectory in trajectories])
        returns = np.where(acted, flat + values, np.float32(0.0))  # the return is the advantage plus the value
        return Advantages(episodes, words, acted, old_log_p, values, flat, returns)

    def update_policy(self, rollouts: RolloutBuffer) -> dict[str, float]:
        """Runs the epochs of one update; returns the means of its metrics.

        Raises:
            Diverged: the loss is no number, or the policy has changed by more than `target_kl`.
        """
        options, warming = self.options, self.update < self.options.warmup
        advantages = self.compute_advantages(rollouts.trajectories) if rollouts.trajectories else None
        rng = np.random.default_rng([options.seed, 5, self.update])
        metrics = [
            self.optimiser_step(rollouts, advantages, minibatch, warming)
            for _ in range(options.epochs)
            for minibatch in rollouts.minibatches(rng, options.context, options.minibatches, options.microbatch)
        ]
        self.count(rollouts)
        mean, limit = rollouts.mean(metrics), f"at most {options.target_kl} (target_kl)"
        if mean.get("kl", 0.0) > options.target_kl:
            raise Diverged(self.update, mean["kl"], self.last, "KL divergence", limit)
        acted = None if advantages is None else advantages.acted
        own = None if advantages is None else (advantages.values[acted], advantages.returns[acted])
        values, returns = rollouts.concatenated(own)
        return {**mean, "explained_variance": explained_variance(values.astype(np.float64), returns.astype(np.float64))}

    def optimiser_step(
        self, rollouts: RolloutBuffer, advantages: Advantages | None, minibatch: Minibatch, warming: bool
    ) -> dict[str, float]:
        """Makes one optimiser step of all ranks together; returns this rank's part of the metrics."""
        self.optimiser.zero_grad(set_to_none=True)
        total, metrics = torch.zeros((), device=self.device), defaultdict[str, float](float)
        for microbatch in minibatch.microbatches:
            assert advantages is not None  # a microbatch holds episodes that this rank played
            batch = collate(advantages.episodes, advantages.words, microbatch.rows, self.options.context)
            loss, some = self.loss(advantages, batch, warming)
            (microbatch.weight * loss).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            total += microbatch.weight * loss.detach()
            for name, value in some.items():
                metrics[name] += microbatch.weight * value
        total = rollouts.sum_gradients([*self.groups[0], *self.groups[1]], total)
        norms = [float(torch.nn.utils.clip_grad_norm_(group, self.options.max_grad_norm)) for group in self.groups]
        if not np.isfinite([total.item(), *norms]).all():
            raise Diverged(self.update, total.item(), self.last, "loss or gradient")
        self.optimiser.step()
        return {**metrics, "actor_norm": minibatch.weight * norms[0], "critic_norm": minibatch.weight * norms[1]}

    def loss(self, advantages: Advantages, batch: Batch, warming: bool) -> tuple[Tensor, dict[str, float]]:
        """Computes the mean loss of a batch's decisions and its metrics; while warming up, of the critic alone."""
        options, words = self.options, advantages.words
        place, source = advantages.actions_in(batch)
        batch, place = self.batch_to_device(batch), place.to(self.device)
        with self.autocast(), unfused_attention(self.device):
            logits, values = (None, self.model.values(batch, words)) if warming else self.model.both(batch, words)
        returns, before = self.to_device(advantages.returns[source]), self.to_device(advantages.values[source])
        critic_loss = value_loss(values[place], returns, before, options.value_clip)
        loss, metrics = options.vf_coef * critic_loss, {"value_loss": critic_loss.item()}
        if logits is None:
            return loss, metrics
        every = log_probabilities(logits[place], self.mask)
        log_p, old_log_p = of_actions(every, batch.labels[place]), self.to_device(advantages.old_log_p[source])
        advantage = self.to_device(advantages.advantages[source])
        policy_loss, bonus = clipped_surrogate(log_p, old_log_p, advantage, options.clip_coef), entropy(every)
        with torch.no_grad():
            metrics |= {
                "policy_loss": policy_loss.item(),
                "entropy": bonus.item(),
                "kl": kl_estimate(log_p, old_log_p).item(),
                "clip_fraction": clip_fraction(log_p, old_log_p, options.clip_coef).item(),
            }
        return loss + (policy_loss - options.ent_coef * bonus), metrics

    def _values(self, batch: Batch, words: Instructions) -> Tensor:
        return self.model.values(self.batch_to_device(batch), words).cpu()
