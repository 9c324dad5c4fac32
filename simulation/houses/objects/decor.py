"""Basketball and house plant."""

from __future__ import annotations

from simulation.houses.objects.part import Generator, Paint, Part, Vector, pick, rod, solid
from simulation.houses.objects.shapes import lathe, leaves

_LEATHER = ((0.90, 0.45, 0.12), (0.82, 0.36, 0.12), (0.95, 0.52, 0.18))
_POTS = ((0.72, 0.38, 0.24), (0.92, 0.92, 0.90), (0.30, 0.30, 0.32), (0.25, 0.40, 0.55), (0.80, 0.65, 0.45))
_GREENS = ((0.16, 0.45, 0.14), (0.24, 0.55, 0.20), (0.12, 0.38, 0.20))
_POT = [(0, 0.0), (0.34, 0.0), (0.46, 0.80), (0.50, 0.80), (0.50, 1.0), (0.42, 1.0), (0.42, 0.86), (0, 0.86)]
_SOIL = Paint((0.20, 0.13, 0.08), shine=0.0)


def basketball(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """An orange ball with dark seams."""
    radius = size_m[0] / 2
    paint = Paint(pick(rng, _LEATHER, 0.03), "basketball", shine=0.2)
    return (Part("sphere", (radius,), (0.0, 0.0, radius), paint),)


def house_plant(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A potted plant: a wide tuft of leaves in a pot a third of its height."""
    width, _, height = size_m
    pot_height = 0.34 * height
    pot_width = min(0.72 * width, 1.1 * pot_height)
    pot = lathe([(r * pot_width, z * pot_height) for r, z in _POT], 12)
    tuft = leaves(rng, 15, 0.5 * width, height - 0.86 * pot_height, 0.42 * width)
    return (
        solid(pot, (0.0, 0.0, 0.0), Paint(pick(rng, _POTS), shine=0.2)),
        rod(0.41 * pot_width, 0.01, (0.0, 0.0, 0.87 * pot_height), _SOIL),
        solid(tuft, (0.0, 0.0, 0.86 * pot_height), Paint(pick(rng, _GREENS), shine=0.1)),
    )
