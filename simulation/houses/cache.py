"""Cache of generated houses, for sampling and then playing an episode."""

from __future__ import annotations

from functools import lru_cache

from simulation.houses.house import House, generate_house


@lru_cache(maxsize=2)
def cached_house(seed: int) -> House:
    """Cached `generate_house(seed)`."""
    return generate_house(seed)
