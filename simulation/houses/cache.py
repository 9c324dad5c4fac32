"""The house of a seed, made once while an episode in it is sampled and then played."""

from __future__ import annotations

from functools import lru_cache

from simulation.houses.house import House, generate_house


@lru_cache(maxsize=2)
def cached_house(seed: int) -> House:
    """`generate_house(seed)`, remembered while an episode in it is sampled and then played."""
    return generate_house(seed)
