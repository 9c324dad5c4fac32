"""Rollout batches of PPO: the steps of whole episodes in one block, with advantages and returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.data.packing import Batch, Instructions, collate, pack
from training.data.shards import Episodes
from training.rl.ppo_loss import gae
from training.rl.rollout import Trajectory, joined, per_step, trainable_mask

ROWS = 8
"""Rows whose values are predicted at once."""

Values = Callable[[Batch, Instructions], Tensor]
"""A critic: values (B, T) of a batch."""


@dataclass(frozen=True)
class RolloutBatch:
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


def compute_returns(
    trajectories: Sequence[Trajectory], tokenizer: Tokenizer, values_of: Values, *,
    context: int, gamma: float, gae_lambda: float,
) -> RolloutBatch:  # fmt: skip
    """Joins episodes and computes advantages and returns with a critic; no gradient."""
    episodes = joined(trajectories)
    words = Instructions(episodes, tokenizer)
    values = predicted(episodes, words, values_of, context)
    advantages = []
    for trajectory, start, length in zip(trajectories, episodes.starts, episodes.lengths):
        own = values[start : start + length].astype(np.float64)
        bootstrap = 0.0 if trajectory.said_done else own[-1]  # cut off: the last step has an observation, no action
        advantages.append(gae(trajectory.rewards, own[: len(trajectory)], bootstrap, gamma, gae_lambda))
    flat = per_step(trajectories, advantages)
    acted = trainable_mask(trajectories)
    old_log_p = per_step(trajectories, [trajectory.log_p for trajectory in trajectories])
    returns = np.where(acted, flat + values, np.float32(0.0))  # the return is the advantage plus the value
    return RolloutBatch(episodes, words, acted, old_log_p, values, flat, returns)


def places(episodes: Episodes, batch: Batch) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Returns where a batch holds steps, (B, T) bool, and which steps of the block these are, (n,)."""
    place = batch.trajectory >= 0
    source: npt.NDArray[np.int64] = episodes.starts[batch.trajectory[place].numpy()] + batch.step[place].numpy()
    return place, source


def predicted(episodes: Episodes, words: Instructions, values_of: Values, context: int) -> npt.NDArray[np.float32]:
    """Predicts a value for each step of a block, (S,); no gradient."""
    values = np.zeros(len(episodes.labels), np.float32)
    rows = pack(episodes.lengths, np.arange(len(episodes)), context)
    with torch.no_grad():
        for start in range(0, len(rows), ROWS):
            batch = collate(episodes, words, rows[start : start + ROWS], context)
            place, source = places(episodes, batch)
            values[source] = values_of(batch, words)[place].numpy()
    return values
