"""Apple, bowl, mug and vase: surfaces of revolution on a table."""

from __future__ import annotations

from simulation.houses.objects.part import Generator, Paint, Part, Vector, pick, rod, solid
from simulation.houses.objects.shapes import handle, lathe, leaves, merged

_APPLE = [(0, 0.10), (0.22, 0.0), (0.42, 0.16), (0.50, 0.46), (0.46, 0.72), (0.30, 0.88), (0.12, 0.84), (0, 0.74)]
_BOWL = [
    *((0, 0.0), (0.24, 0.0), (0.26, 0.10), (0.42, 0.48), (0.50, 1.0)),
    *((0.465, 1.0), (0.38, 0.5), (0.20, 0.18), (0, 0.14)),
]
_MUG = [(0, 0.0), (0.44, 0.0), (0.50, 0.06), (0.50, 1.0), (0.43, 1.0), (0.43, 0.12), (0, 0.10)]
_VASES = (
    [
        *((0, 0.0), (0.26, 0.0), (0.44, 0.18), (0.50, 0.38), (0.38, 0.60), (0.20, 0.76)),
        *((0.18, 0.88), (0.30, 1.0), (0.24, 1.0), (0, 0.80)),
    ],
    [
        *((0, 0.0), (0.30, 0.0), (0.34, 0.10), (0.24, 0.30), (0.50, 0.72)),
        *((0.36, 0.86), (0.28, 1.0), (0.22, 1.0), (0, 0.84)),
    ],
    [
        *((0, 0.0), (0.40, 0.0), (0.50, 0.14), (0.50, 0.34), (0.18, 0.54)),
        *((0.15, 0.90), (0.22, 1.0), (0.14, 1.0), (0, 0.86)),
    ],
)
"""Profiles of a bellied, a flaring and a bottle-shaped vase: (radius over width, height over height)."""

_APPLE_COLOURS = ((0.80, 0.08, 0.08), (0.45, 0.72, 0.15), (0.85, 0.20, 0.12), (0.70, 0.05, 0.12))
_GLAZES = (
    *((0.93, 0.93, 0.90), (0.20, 0.40, 0.75), (0.85, 0.30, 0.20)),
    *((0.25, 0.60, 0.50), (0.95, 0.75, 0.25), (0.30, 0.30, 0.34)),
)
_VASE_GLAZES = ((0.15, 0.30, 0.65), (0.75, 0.45, 0.30), (0.88, 0.88, 0.92), (0.10, 0.50, 0.50), (0.60, 0.20, 0.35))
_STEM = Paint((0.30, 0.20, 0.10), shine=0.0)
_LEAF = Paint((0.25, 0.55, 0.15), shine=0.0)


def _turned(profile: list[tuple[float, float]], width: float, height: float) -> list[tuple[float, float]]:
    return [(radius * width, z * height) for radius, z in profile]


def apple(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A red or green apple with its stem and a leaf."""
    width, _, height = size_m
    paint = Paint(pick(rng, _APPLE_COLOURS), shine=0.5)
    body = lathe(_turned(_APPLE, width, height), 12)
    stem = rod(0.05 * width, 0.26 * height, (0.0, 0.0, 0.87 * height), _STEM)
    leaf = solid(leaves(rng, 1, 0.4 * width, 0.12 * height, 0.3 * width), (0.0, 0.0, 0.85 * height), _LEAF)
    return solid(body, (0.0, 0.0, 0.0), paint), stem, leaf


def bowl(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """An open bowl on a foot."""
    width, _, height = size_m
    paint = Paint(pick(rng, _GLAZES), shine=0.5)
    return (solid(lathe(_turned(_BOWL, width, height), 16), (0.0, 0.0, 0.0), paint),)


def mug(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A straight mug with its handle to the left, full of coffee."""
    width, length, height = size_m
    glaze = pick(rng, _GLAZES)
    cup = lathe(_turned(_MUG, width, height), 14).moved((0.0, (width - length) / 2, 0.0))
    reach = length - width
    bow = handle(reach * 0.9, 0.010).scaled((1.0, 1.0, 0.32 * height / reach))
    bow = bow.moved((0.0, length / 2 - reach - 0.004, 0.52 * height))
    body = solid(merged([cup, bow]), (0.0, 0.0, 0.0), Paint(glaze, shine=0.5))
    coffee = rod(0.43 * width, 0.004, (0.0, (width - length) / 2, 0.82 * height), Paint((0.20, 0.11, 0.06), shine=0.3))
    return body, coffee


def vase(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A tall vase with a neck, in one of three forms."""
    width, _, height = size_m
    profile = _VASES[rng.integers(len(_VASES))]
    paint = Paint(pick(rng, _VASE_GLAZES), shine=0.6)
    return (solid(lathe(_turned(profile, width, height), 14), (0.0, 0.0, 0.0), paint),)
