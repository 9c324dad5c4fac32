"""Trajectories of kept groups as tensors, one row for each chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.vla.grpo.loss import group_advantages
from training.vla.policy.model import VlaPolicy
from training.vla.rollout.rollout import Trajectory


@dataclass(frozen=True)
class Batch:
    """M chunks of several trajectories.

    Attributes:
        images, words, proprio: of the policy, (M, ...).
        tokens: (M, chunk, D) int64.
        log_p: (M, chunk, D), of sampling.
        executed: (M, chunk) bool.
        owner: (M,) int64, number of the chunk's trajectory.
        advantages: (M,), of the chunk's trajectory.
    """

    images: Tensor
    words: Tensor
    proprio: Tensor
    tokens: Tensor
    log_p: Tensor
    executed: Tensor
    owner: Tensor
    advantages: Tensor

    @classmethod
    def of(cls, groups: Sequence[Sequence[Trajectory]], policy: VlaPolicy, first: Sequence[int] | None = None) -> Batch:
        """Joins the trajectories of groups, in their order; `first` has the number of each group's first trajectory."""
        trajectories = [trajectory for group in groups for trajectory in group]
        advantages = np.concatenate([group_advantages([one.success for one in group]) for group in groups])
        lengths = np.array([len(one.tokens) for one in trajectories])
        starts = np.cumsum([0, *map(len, groups)])[:-1] if first is None else first
        numbers = np.concatenate([start + np.arange(len(group)) for start, group in zip(starts, groups)])
        of_chunk = np.repeat(np.arange(len(trajectories)), lengths)
        return cls(
            images=torch.from_numpy(np.concatenate([one.images for one in trajectories])),
            words=policy.words([one.instruction for one in trajectories])[of_chunk],
            proprio=policy.proprio(np.concatenate([one.proprio for one in trajectories])),
            tokens=torch.from_numpy(np.concatenate([one.tokens for one in trajectories]).astype(np.int64)),
            log_p=torch.from_numpy(np.concatenate([one.log_p for one in trajectories])),
            executed=torch.from_numpy(np.concatenate([one.executed for one in trajectories])),
            owner=torch.from_numpy(numbers[of_chunk]),
            advantages=torch.from_numpy(advantages[of_chunk].astype(np.float32)),
        )

    def __len__(self) -> int:
        return len(self.owner)

    def of_trajectories(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """Picks the chunks of some trajectories."""
        return self._rows(torch.isin(self.owner, torch.from_numpy(chosen)).nonzero()[:, 0])

    def parts(self, size: int) -> Iterator[tuple[Batch, Tensor]]:
        """Yields parts of at most `size` chunks with their row numbers; none where there is no chunk."""
        for rows in torch.split(torch.arange(len(self)), size) if len(self) else ():
            yield self._rows(rows), rows

    def to(self, device: torch.device) -> Batch:
        """Moves all tensors."""
        return Batch(**{one.name: getattr(self, one.name).to(device) for one in fields(self)})

    def _rows(self, rows: Tensor) -> Batch:
        return Batch(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def minibatches(rng: np.random.Generator, trajectories: int, size: int) -> list[npt.NDArray[np.int64]]:
    """Divides the numbers of trajectories at random into parts of nearly equal size, at most `size` each."""
    order = rng.permutation(trajectories)
    return np.array_split(order, -(-trajectories // size))


def nothing_seen(policy: VlaPolicy) -> tuple[Tensor, Tensor, Tensor]:
    """Returns an input of one black image without an instruction, for a pass that changes nothing."""
    size, statistics = policy.config.image_size, policy.config.proprio
    images = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    return images, policy.words([""]), policy.proprio(np.zeros((1, len(statistics.low) if statistics else 0)))
