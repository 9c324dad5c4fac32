"""Episodes to learn from again and again: kept in memory, and on disk so that a resumed run has the same ones.

The policy remembers its whole episode, so whole episodes are kept and drawn. Each update's are one file, written once:
a checkpoint only says which files belong to it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.data.packing import Instructions
from training.data.shards import Episodes, write_arrays
from training.errors import CheckpointError
from training.rl.rollout import Played, joined, learnt_from, per_step

LOOKS, STEPS = ("features", "previous", "in_hand"), ("actions", "log_p", "rewards")
PLAIN = ("success", "said_done", "collisions", "guided")


class Replay:
    """The last episodes that were played, about `steps` decisions of them.

    Args:
        folder: where the files are.
        steps: the oldest update is forgotten as soon as the younger ones have so many.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.updates: dict[int, list[Played]] = {}

    def add(self, update: int, played: list[Played]) -> None:
        """Adds an update's episodes and forgets the oldest.

        Raises:
            CheckpointError: they cannot be written, because the disk is full for instance.
        """
        path = self._path(update)
        try:
            write_arrays(path, to_arrays(played))
        except OSError as error:
            raise CheckpointError(
                f"{path}: got '{error.strerror}', expected to write {len(played)} episodes"
            ) from error
        self.updates[update] = played
        while self._size() - sum(map(len, self.updates[min(self.updates)])) >= self.steps:
            del self.updates[min(self.updates)]

    def draw(self, rng: np.random.Generator, count: int) -> list[Played]:
        """Up to `count` different episodes, all equally likely."""
        every = [one for some in self.updates.values() for one in some]
        return [every[i] for i in rng.choice(len(every), min(count, len(every)), replace=False)]

    def restore(self, updates: list[int]) -> None:
        """Takes up the episodes of some updates, in this order.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        self.updates = {update: self._read(self._path(update)) for update in updates}

    def prune(self) -> None:
        """Deletes the files of what is forgotten; to be called once a checkpoint says what belongs to it."""
        kept = {self._path(update) for update in self.updates}
        for path in self.folder.glob("update_*.npz"):
            if path not in kept:
                path.unlink()

    def _size(self) -> int:
        return sum(len(one) for some in self.updates.values() for one in some)

    def _path(self, update: int) -> Path:
        return self.folder / f"update_{update:06d}.npz"

    @staticmethod
    def _read(path: Path) -> list[Played]:
        try:
            with np.load(path, allow_pickle=False) as file:
                return from_arrays({name: file[name] for name in file.files})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: got {type(error).__name__}, expected episodes of the replay") from error


def to_arrays(played: list[Played]) -> dict[str, npt.NDArray[Any]]:
    """Episodes as a few arrays."""
    whole = {name: np.concatenate([getattr(one, name) for one in played]) for name in (*LOOKS, *STEPS)}
    plain = {name: np.array([getattr(one, name) for one in played]) for name in (*PLAIN, "instruction")}
    lengths = np.array([(len(one.previous), len(one)) for one in played], np.int64)
    return {**whole, **plain, "lengths": lengths}


def from_arrays(arrays: dict[str, npt.NDArray[Any]]) -> list[Played]:
    """Inverse of `to_arrays`."""
    looks, steps = (np.cumsum(column)[:-1] for column in arrays["lengths"].T)
    parts = {name: np.split(arrays[name], looks if name in LOOKS else steps) for name in (*LOOKS, *STEPS)}
    made = []
    for i, instruction in enumerate(arrays["instruction"].tolist()):
        fields: dict[str, Any] = {name: some[i] for name, some in parts.items()}
        fields |= {name: arrays[name][i].item() for name in PLAIN}
        made.append(Played(instruction, **fields))
    return made


@dataclass(frozen=True)
class Transitions:
    """Steps (S,) of whole episodes in one block; step i + 1 of the block follows step i within an episode.

    Attributes:
        episodes: the block; an episode that was cut off has one step more than it has actions.
        words: the episodes' instructions.
        acted: bool, whether the step has an action to learn from.
        rewards: float32, of each action.
        ended: bool, whether the action ended its episode.
    """

    episodes: Episodes
    words: Instructions
    acted: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.float32]
    ended: npt.NDArray[np.bool_]


def transitions(played: list[Played], tokenizer: Tokenizer) -> Transitions:
    """Joins episodes to learn from."""
    episodes = joined(played)
    rewards = per_step(played, [one.rewards for one in played])
    ended = np.zeros(len(rewards), bool)
    last = episodes.starts + episodes.lengths - 1
    ended[last[[one.said_done for one in played]]] = True
    return Transitions(episodes, Instructions(episodes, tokenizer), learnt_from(played), rewards, ended)
