"""What one update of PPO learns from: the steps of whole episodes in one block, with advantages and returns."""

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
from training.rl.rollout import Played, joined, learnt_from, per_step

ROWS = 8
"""Rows whose values are predicted at once."""

Values = Callable[[Batch, Instructions], Tensor]
"""A critic: values (B, T) of a batch."""


@dataclass(frozen=True)
class Experience:
    """Steps (S,), and what the losses need of each.

    Attributes:
        episodes: the block; an episode that was cut off has one step more than it has actions.
        words: the episodes' instructions.
        acted: bool, whether the step has an action to learn from.
        old_log_p: float32, of the action when it was chosen.
        values: float32, the critic's before the update.
        advantages: float32.
        returns: float32, what the critic should have said.
    """

    episodes: Episodes
    words: Instructions
    acted: npt.NDArray[np.bool_]
    old_log_p: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    advantages: npt.NDArray[np.float32]
    returns: npt.NDArray[np.float32]

    def actions_in(self, batch: Batch) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Where a batch holds steps with an action, (B, T) bool, and which of the S steps these are, (n,)."""
        place, source = places(self.episodes, batch)
        acted = self.acted[source]
        place[place.clone()] = torch.from_numpy(acted)
        return place, source[acted]


def experience(
    played: Sequence[Played], tokenizer: Tokenizer, values_of: Values, *, context: int, gamma: float, decay: float
) -> Experience:
    """Joins episodes and works out advantages and returns with a critic; no gradient."""
    episodes = joined(played)
    words = Instructions(episodes, tokenizer)
    values = predicted(episodes, words, values_of, context)
    advantages = []
    for one, start, length in zip(played, episodes.starts, episodes.lengths):
        own = values[start : start + length].astype(np.float64)
        after = 0.0 if one.said_done else own[-1]  # cut off: the last step was only seen
        advantages.append(gae(one.rewards, own[: len(one)], after, gamma, decay))
    flat = per_step(played, advantages)
    acted = learnt_from(played)
    old_log_p = per_step(played, [one.log_p for one in played])
    return Experience(episodes, words, acted, old_log_p, values, flat, np.where(acted, flat + values, np.float32(0.0)))


def places(episodes: Episodes, batch: Batch) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Where a batch holds steps, (B, T) bool, and which steps of the block these are, (n,)."""
    place = batch.trajectory >= 0
    source: npt.NDArray[np.int64] = episodes.starts[batch.trajectory[place].numpy()] + batch.step[place].numpy()
    return place, source


def predicted(episodes: Episodes, words: Instructions, values_of: Values, context: int) -> npt.NDArray[np.float32]:
    """What a network says of each step of a block, (S,); no gradient."""
    values = np.zeros(len(episodes.labels), np.float32)
    rows = pack(episodes.lengths, np.arange(len(episodes)), context)
    with torch.no_grad():
        for start in range(0, len(rows), ROWS):
            batch = collate(episodes, words, rows[start : start + ROWS], context)
            place, source = places(episodes, batch)
            values[source] = values_of(batch, words)[place].numpy()
    return values
