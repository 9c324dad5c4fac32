"""Trajectories of reinforcement learning, and the steps of several in one block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data.packing import Batch, Instructions, collate, pack
from training.data.shards import Episodes

ROWS = 8
"""Rows whose values are predicted at once."""

Values = Callable[[Batch, Instructions], Tensor]
"""A critic: values (B, T) of a batch."""


@dataclass(frozen=True)
class Trajectory:
    """One whole episode of T decisions.

    Attributes:
        instruction: given to the policy.
        features: (T, cameras, K, C) float16; T + 1 where it was truncated, with the observation after the last action.
        previous: of the same steps, uint8.
        state: of the same steps, (.., n) float32, the policy's state vector.
        actions: (T,) uint8.
        log_p: (T,) float32, log-probability of each action when it was chosen.
        rewards: (T,) float64.
        success: whether the task was solved.
        said_done: whether `done` terminated it; otherwise it was truncated.
        collisions: blocked motions.
        guided: number of first actions by another policy: inputs to the networks, but not trained on.
    """

    instruction: str
    features: npt.NDArray[np.float16]
    previous: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    actions: npt.NDArray[np.uint8]
    log_p: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float64]
    success: bool
    said_done: bool
    collisions: int
    guided: int = 0

    def __len__(self) -> int:
        return len(self.actions)


def joined(trajectories: Sequence[Trajectory]) -> Episodes:
    """Joins episodes into one block; the last step of a truncated one has no action (0 as a placeholder)."""
    lengths = np.array([len(each.previous) for each in trajectories], np.int64)
    actions = [np.pad(each.actions, (0, len(each.previous) - len(each))) for each in trajectories]
    return Episodes(
        features=np.concatenate([each.features for each in trajectories]),
        labels=np.concatenate(actions),
        previous=np.concatenate([each.previous for each in trajectories]),
        state=np.concatenate([each.state for each in trajectories]),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        instructions=tuple(each.instruction for each in trajectories),
    )


def per_step(trajectories: Sequence[Trajectory], values: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float32]:
    """Joins one array (T,) per episode into one number per step of `joined`; 0 where there is no action."""
    return np.concatenate([
        np.pad(own.astype(np.float32), (0, len(each.previous) - len(own))) for each, own in zip(trajectories, values)
    ])  # fmt: skip


def trainable_mask(trajectories: Sequence[Trajectory]) -> npt.NDArray[np.bool_]:
    """Marks the steps of `joined` whose action is the learner's own."""
    steps = [(np.arange(len(each.previous)), each) for each in trajectories]
    return np.concatenate([(step >= each.guided) & (step < len(each)) for step, each in steps])


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
