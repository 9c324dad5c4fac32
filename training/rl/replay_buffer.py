"""Replay buffer of whole episodes, in memory and on disk, so that a resumed run has the same ones.

Whole episodes are kept and drawn because the policy attends to its whole episode. Each update's episodes are one file,
written once; a checkpoint lists the files that belong to it.
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
from training.data.shards import Episodes, with_state, write_arrays
from training.errors import CheckpointError
from training.rl.trajectory import Trajectory, joined, per_step, trainable_mask

OBSERVATIONS, STEPS = ("features", "previous", "state"), ("actions", "log_p", "rewards")
PLAIN = ("success", "said_done", "collisions", "guided")


class ReplayBuffer:
    """The most recent episodes, about `steps` decisions of them.

    Args:
        folder: of the files.
        steps: capacity; the oldest update is dropped as soon as the newer ones have this many.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.updates: dict[int, list[Trajectory]] = {}

    def add(self, update: int, trajectories: list[Trajectory]) -> None:
        """Adds an update's episodes and drops the oldest.

        Raises:
            CheckpointError: they cannot be written, because the disk is full for instance.
        """
        path = self._path(update)
        try:
            write_arrays(path, to_arrays(trajectories))
        except OSError as error:
            raise CheckpointError(
                f"{path}: got '{error.strerror}', expected to write {len(trajectories)} episodes"
            ) from error
        self.updates[update] = trajectories
        while self._size() - sum(map(len, self.updates[min(self.updates)])) >= self.steps:
            del self.updates[min(self.updates)]

    def draw(self, rng: np.random.Generator, count: int) -> list[Trajectory]:
        """Draws up to `count` different episodes with equal probability."""
        every = [trajectory for update in self.updates.values() for trajectory in update]
        return [every[i] for i in rng.choice(len(every), min(count, len(every)), replace=False)]

    def restore(self, updates: list[int]) -> None:
        """Loads the episodes of these updates, in this order.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        self.updates = {update: self._read(self._path(update)) for update in updates}

    def prune(self) -> None:
        """Deletes the files of dropped updates; to be called after a checkpoint that no longer lists them."""
        kept = {self._path(update) for update in self.updates}
        for path in self.folder.glob("update_*.npz"):
            if path not in kept:
                path.unlink()

    def _size(self) -> int:
        return sum(len(trajectory) for update in self.updates.values() for trajectory in update)

    def _path(self, update: int) -> Path:
        return self.folder / f"update_{update:06d}.npz"

    @staticmethod
    def _read(path: Path) -> list[Trajectory]:
        try:
            with np.load(path, allow_pickle=False) as file:
                return from_arrays({name: file[name] for name in file.files})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: got {type(error).__name__}, expected episodes of the replay") from error


def to_arrays(trajectories: list[Trajectory]) -> dict[str, npt.NDArray[Any]]:
    """Packs episodes into a few arrays."""
    whole = {name: np.concatenate([getattr(each, name) for each in trajectories]) for name in (*OBSERVATIONS, *STEPS)}
    plain = {name: np.array([getattr(each, name) for each in trajectories]) for name in (*PLAIN, "instruction")}
    lengths = np.array([(len(each.previous), len(each)) for each in trajectories], np.int64)
    return {**whole, **plain, "lengths": lengths}


def from_arrays(arrays: dict[str, npt.NDArray[Any]]) -> list[Trajectory]:
    """Inverse of `to_arrays`."""
    arrays = with_state(arrays)
    observations, steps = (np.cumsum(column)[:-1] for column in arrays["lengths"].T)
    ends = dict.fromkeys(OBSERVATIONS, observations) | dict.fromkeys(STEPS, steps)
    parts = {name: np.split(arrays[name], end) for name, end in ends.items()}
    trajectories = []
    for i, instruction in enumerate(arrays["instruction"].tolist()):
        fields: dict[str, Any] = {name: some[i] for name, some in parts.items()}
        fields |= {name: arrays[name][i].item() for name in PLAIN}
        trajectories.append(Trajectory(instruction, **fields))
    return trajectories


@dataclass(frozen=True)
class Transitions:
    """Steps (S,) of whole episodes in one block; step i + 1 of the block follows step i within an episode.

    Attributes:
        episodes: the block; a truncated episode has one step more than it has actions.
        words: the episodes' instructions.
        acted: bool, whether the step has an action to learn from.
        rewards: float32, of each action.
        ended: bool, whether the action terminated its episode.
    """

    episodes: Episodes
    words: Instructions
    acted: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.float32]
    ended: npt.NDArray[np.bool_]


def transitions(trajectories: list[Trajectory], tokenizer: Tokenizer) -> Transitions:
    """Joins episodes into one block of transitions."""
    episodes = joined(trajectories)
    rewards = per_step(trajectories, [each.rewards for each in trajectories])
    ended = np.zeros(len(rewards), bool)
    last = episodes.starts + episodes.lengths - 1
    ended[last[[each.said_done for each in trajectories]]] = True
    return Transitions(episodes, Instructions(episodes, tokenizer), trainable_mask(trajectories), rewards, ended)
