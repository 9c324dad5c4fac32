"""Errors of the simulation.

SimulationError
├── SeedError              a split is unknown, or a seed or index lies outside of it
├── UnknownCategory        an object category that no house has
├── HouseOptionsError      options of which no house can be made
├── HouseGenerationError   this seed and these options gave no house that can be walked through
├── ChoresError            an episode in CHORES' form cannot be read, or cannot be played here
├── MeshError              a mesh file cannot be read
├── NoDisplayDriver        this machine has no OpenGL driver that draws without a display
├── UnknownCamera          a camera that the model lacks
└── RendererMisuse         a renderer that is closed, or used outside of the thread that made it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


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


class ChoresError(SimulationError):
    """An episode in CHORES' form cannot be read, or cannot be played here; `available` says what there is instead."""

    def __init__(self, what: str, got: object, expected: str, available: Iterable[str] = ()) -> None:
        self.what, self.details = what, (got, expected, tuple(available))
        self.got, self.expected, self.available = self.details
        there_are = f"; available: {', '.join(self.available)}" if self.available else ""
        super().__init__(f"{what}: got {got!r}, expected {expected}{there_are}")


class MeshError(SimulationError):
    """A mesh file cannot be read."""

    def __init__(self, path: object, got: str, expected: str) -> None:
        super().__init__(f"{path}: got {got}, expected {expected}")


DRIVER_FIX = "run `apt-get install -y libegl1 libgl1-mesa-dri`"


class NoDisplayDriver(SimulationError):
    """This machine has no OpenGL driver that draws without a display, or a variable asks for another one."""

    def __init__(self, environment: Mapping[str, str], cause: object) -> None:
        backend, others = environment["MUJOCO_GL"], {"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "egl"}
        asked = [name for name, right in others.items() if environment.get(name, right) != right]
        asked += [name for name in ("MUJOCO_EGL_DEVICE_ID",) if name in environment and name in str(cause)]
        wrong = " ".join(f"{name}={environment[name]}" for name in asked)
        fix = f"{wrong} asks for one that is not here: run `unset {' '.join(asked)}`" if asked else DRIVER_FIX
        super().__init__(f"no off-screen OpenGL driver for MUJOCO_GL={backend} ({cause}): {fix}")


class UnknownCamera(SimulationError):
    """A camera that the model lacks."""

    def __init__(self, got: object, available: Iterable[str]) -> None:
        self.got, self.available = got, tuple(available)
        super().__init__(f"camera: got {got!r}, expected one of those available: {', '.join(self.available) or 'none'}")


class RendererMisuse(SimulationError):
    """A renderer that is closed, or used outside of the thread that made it."""

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(f"renderer: got {got}, expected {expected}")
