"""What ranks know of each other's episodes, so that several learn exactly what one with all of them would.

Only a few numbers per episode travel, never its pictures. The minibatches are drawn from the lengths of all episodes;
each rank then learns from those of a minibatch's episodes that it played, and the sums over ranks are the minibatch's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.packing import pack
from training.rl.rollout import Played
from training.runtime.distributed import Ranks


@dataclass(frozen=True)
class Outcome:
    """One episode in numbers: steps that were seen, decisions, those to learn from, how it ended, blocked motions."""

    looks: int
    steps: int
    learnt: int
    success: bool
    said_done: bool
    collisions: int

    @classmethod
    def of(cls, one: Played) -> Outcome:
        """The numbers of an episode."""
        return cls(len(one.previous), len(one), len(one) - one.guided, one.success, one.said_done, one.collisions)


@dataclass(frozen=True)
class Piece:
    """Some rows of a minibatch whose gradients are worked out at once, as many as the memory allows.

    Attributes:
        rows: of this rank's own episodes, packed.
        weight: their share of the minibatch's decisions.
    """

    rows: list[list[int]]
    weight: float


@dataclass(frozen=True)
class Part:
    """This rank's part of a minibatch; no pieces where none of its episodes is in it."""

    pieces: list[Piece]

    @property
    def weight(self) -> float:
        """Its share of the minibatch's decisions."""
        return sum(piece.weight for piece in self.pieces)


@dataclass(frozen=True)
class Share:
    """An update's episodes, of all ranks, in the order in which they were drawn.

    Attributes:
        outcomes: of every episode.
        own: which of these this rank played, in the order in which it has them.
    """

    outcomes: tuple[Outcome, ...]
    own: npt.NDArray[np.int64]

    @classmethod
    def alone(cls, played: Sequence[Played]) -> Share:
        """All episodes are this rank's."""
        return cls(tuple(map(Outcome.of, played)), np.arange(len(played)))

    @classmethod
    def among(cls, ranks: Ranks, played: Mapping[int, Sequence[Played]]) -> Share:
        """From the jobs that each rank has done, by their numbers; waits for all."""
        mine = {job: [Outcome.of(one) for one in some] for job, some in played.items()}
        everyones = ranks.gather(mine)
        outcomes: list[Outcome] = []
        own: list[int] = []
        for job, rank in sorted((job, rank) for rank, some in enumerate(everyones) for job in some):
            some = everyones[rank][job]
            if rank == ranks.rank:
                own += range(len(outcomes), len(outcomes) + len(some))
            outcomes += some
        return cls(tuple(outcomes), np.array(own, np.int64))

    def parts(self, rng: np.random.Generator, context: int, count: int, most: int) -> Iterator[Part]:
        """One epoch: every episode once, in `count` minibatches of rows with `context` places; `most` rows a piece.

        Which episodes make up a minibatch depends on their lengths and `rng` alone, not on who played them.
        """
        looks = np.array([one.looks for one in self.outcomes])
        rows = pack(looks, rng.permutation(len(looks)), context)
        number = {int(one): i for i, one in enumerate(self.own)}
        for part in np.array_split(rng.permutation(len(rows)), min(count, len(rows))):
            chosen = [rows[i] for i in part]
            every = sum(self.outcomes[one].learnt for row in chosen for one in row)
            mine = self._repacked([[number[one] for one in row if one in number] for row in chosen], looks, context)
            if every:
                yield Part(list(self._pieces(mine, every, most)))

    def _pieces(self, rows: list[list[int]], every: int, most: int) -> Iterator[Piece]:
        """Those with something to learn from, of a minibatch with `every` decisions."""
        for start in range(0, len(rows), most):
            some = rows[start : start + most]
            learnt = sum(self.outcomes[self.own[one]].learnt for row in some for one in row)
            if learnt:
                yield Piece(some, learnt / every)

    def _repacked(self, rows: list[list[int]], looks: npt.NDArray[np.int64], context: int) -> list[list[int]]:
        """Rows without the gaps that other ranks' episodes left."""
        if len(self.own) == len(self.outcomes):
            return rows
        own = np.array([one for row in rows for one in row], np.int64)
        return pack(looks[self.own], own, context)


def mean_figures(ranks: Ranks, figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over minibatches of what each rank has of each figure; waits for all."""
    own = {name: float(np.mean([one.get(name, 0.0) for one in figures])) for one in figures for name in one}
    everyones = ranks.gather(own)
    return {name: sum(one.get(name, 0.0) for one in everyones) for some in everyones for name in some}
