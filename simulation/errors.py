"""Errors of the simulation.

SimulationError
├── SeedError              a split is unknown, or a seed or index lies outside of it
├── UnknownCategory        an object category that no house has
├── HouseOptionsError      options of which no house can be made
└── HouseGenerationError   this seed and these options gave no house that can be walked through
"""

from __future__ import annotations

from collections.abc import Iterable


class SimulationError(Exception):
    """Base of every error raised by `simulation`."""


class SeedError(SimulationError):
    """A split is unknown, or a seed or index lies outside of it."""

    def __init__(self, what: str, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got!r}, expected {expected}")
        self.got, self.expected = got, expected


class UnknownCategory(SimulationError):
    """An object category that no house has."""

    def __init__(self, got: object, available: Iterable[str]) -> None:
        self.got, self.available = got, tuple(sorted(available))
        super().__init__(f"object category: got {got!r}, expected one of those available: {', '.join(self.available)}")


class HouseOptionsError(SimulationError):
    """Options of which no house can be made."""

    def __init__(self, option: str, got: object, expected: str) -> None:
        super().__init__(f"house option {option}: got {got!r}, expected {expected}")
        self.option, self.got, self.expected = option, got, expected


class HouseGenerationError(SimulationError):
    """This seed and these options gave no house that can be walked through; `missing` says what had no place."""

    def __init__(self, seed: int, missing: str, attempts: int) -> None:
        super().__init__(
            f"house {seed}: no place for {missing} in {attempts} attempts; try larger rooms or another seed"
        )
        self.seed, self.missing, self.attempts = seed, missing, attempts
