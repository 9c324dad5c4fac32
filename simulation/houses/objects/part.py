"""The parts that objects and furniture are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulation.houses.objects.shapes import Shape

Generator = np.random.Generator
Vector = tuple[float, float, float]
Colour = tuple[float, float, float]

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
"""The quaternion (w, x, y, z) of no rotation."""


@dataclass(frozen=True)
class Paint:
    """Paint of a surface: a colour (red, green, blue in [0, 1]), multiplied by a texture where one is named.

    Attributes:
        colour: tint.
        texture: name of an image in `simulation.houses.textures`, or "" for none.
        emission: how much it shines by itself, in [0, 1].
        shine: strength of its highlights, in [0, 1].
    """

    colour: Colour
    texture: str = ""
    emission: float = 0.0
    shine: float = 0.2


@dataclass(frozen=True)
class Part:
    """One geom, in a frame with x towards the front, z up, and its origin at the middle of the bottom.

    Attributes:
        kind: "box", "sphere", "cylinder", "ellipsoid" or "mesh".
        size_m: half extents as MuJoCo wants them (unused by a mesh).
        position_m: its middle.
        paint: of its surface.
        rotation: quaternion (w, x, y, z).
        shape: the mesh.
    """

    kind: str
    size_m: tuple[float, ...]
    position_m: Vector
    paint: Paint
    rotation: tuple[float, float, float, float] = UPRIGHT
    shape: Shape | None = None


def box(
    size_m: Sequence[float], position_m: Vector, paint: Paint, rotation: tuple[float, float, float, float] = UPRIGHT
) -> Part:
    """A box with full extents `size_m` around `position_m`."""
    x, y, z = size_m
    return Part("box", (x / 2, y / 2, z / 2), position_m, paint, rotation)


def ball(size_m: Sequence[float], position_m: Vector, paint: Paint) -> Part:
    """An ellipsoid with full extents `size_m` around `position_m`."""
    x, y, z = size_m
    return Part("ellipsoid", (x / 2, y / 2, z / 2), position_m, paint)


def rod(
    radius_m: float,
    length_m: float,
    position_m: Vector,
    paint: Paint,
    rotation: tuple[float, float, float, float] = UPRIGHT,
) -> Part:
    """An upright cylinder around `position_m`, before its rotation."""
    return Part("cylinder", (radius_m, length_m / 2), position_m, paint, rotation)


def solid(
    shape: Shape, position_m: Vector, paint: Paint, rotation: tuple[float, float, float, float] = UPRIGHT
) -> Part:
    """A mesh, its origin at `position_m`."""
    return Part("mesh", (), position_m, paint, rotation, shape)


def turn_x(angle_rad: float) -> tuple[float, float, float, float]:
    """The rotation about x."""
    return float(np.cos(angle_rad / 2)), float(np.sin(angle_rad / 2)), 0.0, 0.0


def turn_y(angle_rad: float) -> tuple[float, float, float, float]:
    """The rotation about y: positive tips the front (x) down."""
    return float(np.cos(angle_rad / 2)), 0.0, float(np.sin(angle_rad / 2)), 0.0


def pick(rng: Generator, colours: Sequence[Colour], spread: float = 0.06) -> Colour:
    """Draws one of the colours with a small variation."""
    colour = np.asarray(colours[int(rng.integers(len(colours)))]) + rng.uniform(-spread, spread, size=3)
    red, green, blue = np.clip(colour, 0.02, 1.0)
    return float(red), float(green), float(blue)
