"""The episodes of one update, from which minibatches are drawn; also where several ranks played them.

Each minibatch is split over DDP ranks so that the summed gradient equals single-process training. Ranks exchange a few
numbers per episode, never its images. Minibatches are drawn from the lengths of all episodes; each rank computes the
gradient of its own episodes in a minibatch, weighted by their fraction of its decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from training.data.packing import pack
from training.rl.trajectory import Trajectory
from training.runtime.distributed import Ranks


@dataclass(frozen=True)
class Outcome:
    """Summary of one episode.

    Attributes:
        observations: steps with an observation; one more than decisions where the episode was cut off.
        steps: decisions.
        trainable: decisions to learn from.
        success: whether the task was solved.
        said_done: whether `done` ended it.
        collisions: blocked motions.
    """

    observations: int
    steps: int
    trainable: int
    success: bool
    said_done: bool
    collisions: int

    @classmethod
    def of(cls, trajectory: Trajectory) -> Outcome:
        """Summarises an episode."""
        steps = len(trajectory)
        return cls(
            len(trajectory.previous), steps, steps - trajectory.guided,
            trajectory.success, trajectory.said_done, trajectory.collisions,
        )  # fmt: skip


@dataclass(frozen=True)
class Microbatch:
    """Rows of a minibatch whose gradients are computed at once, as many as the memory allows.

    Attributes:
        rows: of this rank's own episodes, packed.
        weight: their fraction of the minibatch's decisions.
    """

    rows: list[list[int]]
    weight: float


@dataclass(frozen=True)
class Minibatch:
    """This rank's part of a minibatch; without microbatches where none of its episodes is in it."""

    microbatches: list[Microbatch]

    @property
    def weight(self) -> float:
        """This rank's fraction of the minibatch's decisions."""
        return sum(microbatch.weight for microbatch in self.microbatches)


@dataclass(frozen=True)
class RolloutBuffer:
    """The episodes of one update, in the order in which they were drawn.

    Attributes:
        trajectories: those that this rank played.
        outcomes: of every rank's.
        own: for each of `trajectories`, its index in `outcomes`.
        ranks: this one and the others.
    """

    trajectories: list[Trajectory]
    outcomes: tuple[Outcome, ...]
    own: npt.NDArray[np.int64]
    ranks: Ranks

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> RolloutBuffer:
        """Makes the buffer of a single process, which played all episodes."""
        return cls(list(trajectories), tuple(map(Outcome.of, trajectories)), np.arange(len(trajectories)), Ranks())

    @classmethod
    def gathered(cls, ranks: Ranks, by_job: Mapping[int, Sequence[Trajectory]]) -> RolloutBuffer:
        """Gathers the outcomes of every rank's finished jobs, by job number; waits for all ranks."""
        mine = {job: [Outcome.of(trajectory) for trajectory in done] for job, done in by_job.items()}
        by_rank = ranks.gather(mine)
        outcomes: list[Outcome] = []
        own: list[int] = []
        for job, rank in sorted((job, rank) for rank, done in enumerate(by_rank) for job in done):
            done = by_rank[rank][job]
            if rank == ranks.rank:
                own += range(len(outcomes), len(outcomes) + len(done))
            outcomes += done
        trajectories = [trajectory for job in sorted(by_job) for trajectory in by_job[job]]
        return cls(trajectories, tuple(outcomes), np.array(own, np.int64), ranks)

    @property
    def steps(self) -> int:
        """Decisions of every rank's episodes."""
        return sum(outcome.steps for outcome in self.outcomes)

    @property
    def successes(self) -> list[bool]:
        """Whether each of every rank's episodes was solved."""
        return [outcome.success for outcome in self.outcomes]

    def minibatches(self, rng: np.random.Generator, context: int, count: int, max_rows: int) -> Iterator[Minibatch]:
        """Yields one epoch: every episode once, in `count` minibatches of rows with `context` places.

        A microbatch has at most `max_rows` rows. Which episodes make up a minibatch depends on their lengths and `rng`
        alone, not on the rank that played them.
        """
        lengths = np.array([outcome.observations for outcome in self.outcomes])
        rows = pack(lengths, rng.permutation(len(lengths)), context)
        local = {int(index): i for i, index in enumerate(self.own)}
        for part in np.array_split(rng.permutation(len(rows)), min(count, len(rows))):
            chosen = [rows[i] for i in part]
            total = sum(self.outcomes[index].trainable for row in chosen for index in row)
            mine = self._repacked(
                [[local[index] for index in row if index in local] for row in chosen], lengths, context
            )
            if total:
                yield Minibatch(list(self._microbatches(mine, total, max_rows)))

    def _microbatches(self, rows: list[list[int]], total: int, max_rows: int) -> Iterator[Microbatch]:
        """Yields those with decisions to learn from, of a minibatch with `total` such decisions."""
        for start in range(0, len(rows), max_rows):
            chosen = rows[start : start + max_rows]
            trainable = sum(self.outcomes[self.own[index]].trainable for row in chosen for index in row)
            if trainable:
                yield Microbatch(chosen, trainable / total)

    def _repacked(self, rows: list[list[int]], lengths: npt.NDArray[np.int64], context: int) -> list[list[int]]:
        """Closes the gaps that other ranks' episodes left in rows."""
        if len(self.own) == len(self.outcomes):
            return rows
        own = np.array([index for row in rows for index in row], np.int64)
        return pack(lengths[self.own], own, context)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Sums a minibatch's gradients over ranks, in place, and returns the sum of `loss`; waits for all ranks."""
        return self.ranks.add_up(parameters, loss)

    def mean(self, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Sums over ranks each rank's mean over minibatches of each metric; waits for all ranks."""
        own = {
            name: float(np.mean([values.get(name, 0.0) for values in metrics])) for values in metrics for name in values
        }
        by_rank = self.ranks.gather(own)
        return {name: sum(values.get(name, 0.0) for values in by_rank) for some in by_rank for name in some}

    def concatenated(self, own: tuple[npt.NDArray[Any], ...] | None) -> tuple[npt.NDArray[Any], ...]:
        """Concatenates arrays of every rank; None from one that played no episode. Waits for all ranks."""
        by_rank = [arrays for arrays in self.ranks.gather(own) if arrays is not None]
        return tuple(np.concatenate(of_ranks) for of_ranks in zip(*by_rank))
