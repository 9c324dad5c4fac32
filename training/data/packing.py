"""Batches of packed rows: whole episodes one after another, because padding would be two thirds of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.data.shards import UNLABELLED, Episodes
from training.models.spoc import SpocPolicy, Text
from training.models.tokenizer import encode

IGNORE = -100
"""Label of a place in a row that holds no step, or one from which nothing is learned."""


@dataclass(frozen=True)
class Batch:
    """B rows of T places.

    Attributes:
        tokens: (B, T, cameras, K, C) float32.
        labels: (B, T) int64, `IGNORE` where there is no step, or none to learn from.
        previous, step, trajectory, instruction: (B, T) int64; trajectory is -1 where there is no step.
        state: (B, T, n) float32.
    """

    tokens: Tensor
    labels: Tensor
    previous: Tensor
    step: Tensor
    trajectory: Tensor
    instruction: Tensor
    state: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def pack(lengths: npt.NDArray[np.int64], order: npt.NDArray[np.int64], context: int) -> list[list[int]]:
    """Fills rows of `context` places with episodes in `order`; an episode is never cut.

    Each goes into the first of the last few open rows that has room for it. A longer one has a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for episode in order.tolist():
        need = int(lengths[episode])
        recent = range(max(0, len(rows) - 8), len(rows))
        row = next((i for i in recent if room[i] >= need), None)
        if row is None:
            rows.append([])
            room.append(context)
            row = len(rows) - 1
        rows[row].append(episode)
        room[row] -= need
    return rows


def epoch_batches(episodes: Episodes, seed: tuple[int, int], context: int, rows: int) -> list[list[list[int]]]:
    """Makes the batches of one epoch, each a list of rows of episode numbers; deterministic in (seed, epoch)."""
    rng = np.random.default_rng(seed)
    packed = pack(episodes.lengths, rng.permutation(len(episodes)), context)
    packed = [packed[i] for i in rng.permutation(len(packed))]
    return [packed[i : i + rows] for i in range(0, len(packed), rows)]


class Instructions:
    """The distinct instructions of episodes, encoded once per update."""

    def __init__(self, episodes: Episodes, tokenizer: Tokenizer) -> None:
        self.texts = sorted(set(episodes.instructions))
        number = {text: i for i, text in enumerate(self.texts)}
        self.of_episode = np.array([number[text] for text in episodes.instructions])
        self.ids, self.present = encode(tokenizer, self.texts)

    def text(self, policy: SpocPolicy, instruction: Tensor) -> Text:
        """Encodes the instruction of each of (N,) steps."""
        ids, present = self.ids.to(instruction.device), self.present.to(instruction.device)
        return policy.text(ids, present).pick(instruction)


def collate(episodes: Episodes, instructions: Instructions, rows: Sequence[Sequence[int]], context: int) -> Batch:
    """Makes a batch of rows of episode numbers; T is the length of the longest row."""
    places = max(int(episodes.lengths[list(row)].sum()) for row in rows)
    source = np.zeros((len(rows), places), np.int64)
    step, words = np.zeros_like(source), np.zeros_like(source)
    trajectory = np.full_like(source, -1)
    for number, row in enumerate(rows):
        at = 0
        for episode in row:
            count = int(episodes.lengths[episode])
            place = slice(at, at + count)
            source[number, place] = episodes.starts[episode] + np.arange(count)
            step[number, place], trajectory[number, place] = np.arange(count), episode
            words[number, place] = instructions.of_episode[episode]
            at += count
    given = episodes.labels[source].astype(np.int64)
    labels = np.where((trajectory >= 0) & (given != UNLABELLED), given, IGNORE)
    return Batch(
        tokens=torch.from_numpy(episodes.features[source]).float(),
        labels=torch.from_numpy(labels),
        previous=torch.from_numpy(episodes.previous[source].astype(np.int64)),
        step=torch.from_numpy(step),
        trajectory=torch.from_numpy(trajectory),
        instruction=torch.from_numpy(words),
        state=torch.from_numpy(episodes.state[source]),
    )
