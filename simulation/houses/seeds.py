"""House seeds, split into disjoint ranges for training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from simulation.errors import SeedError

SPLITS: Mapping[str, range] = MappingProxyType(
    {
        "train": range(0, 10_000_000),
        "val": range(10_000_000, 11_000_000),
        "test": range(20_000_000, 21_000_000),
    }
)
"""Seeds of each split. Training on a house of "val" or "test" contaminates the evaluation."""


def split_of(seed: int) -> str:
    """Names the split that a house seed belongs to.

    Raises:
        SeedError: the seed belongs to none.
    """
    for split, seeds in SPLITS.items():
        if seed in seeds:
            return split
    expected = ", ".join(f"{split} [{seeds.start}, {seeds.stop})" for split, seeds in SPLITS.items())
    raise SeedError("house seed", seed, f"one of {expected}")


def house_seed(split: str, index: int) -> int:
    """Returns the seed of house `index` of a split.

    Raises:
        SeedError: the split is unknown, or it has no house of that index.
    """
    if split not in SPLITS:
        raise SeedError("split", split, f"one of {', '.join(SPLITS)}")
    seeds = SPLITS[split]
    if not 0 <= index < len(seeds):
        raise SeedError(f"index of a {split} house", index, f"0 to {len(seeds) - 1}")
    return seeds[index]
