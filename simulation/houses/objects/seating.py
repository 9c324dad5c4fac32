"""Bed, chair and sofa."""

from __future__ import annotations

from simulation.houses.objects.part import Generator, Paint, Part, Vector, box, pick, solid
from simulation.houses.objects.shapes import chamfered_box

_WOODS = ((0.55, 0.36, 0.20), (0.72, 0.52, 0.33), (0.36, 0.22, 0.13), (0.85, 0.80, 0.72))
_CHAIRS = (*_WOODS, (0.15, 0.15, 0.17), (0.90, 0.90, 0.88), (0.70, 0.15, 0.12))
_BLANKETS = (
    (0.25, 0.35, 0.60),
    (0.60, 0.22, 0.25),
    (0.30, 0.50, 0.40),
    (0.85, 0.70, 0.35),
    (0.55, 0.45, 0.65),
    (0.5, 0.5, 0.52),
)
_UPHOLSTERY = (
    (0.35, 0.38, 0.42),
    (0.55, 0.25, 0.20),
    (0.20, 0.32, 0.48),
    (0.62, 0.55, 0.42),
    (0.28, 0.42, 0.32),
    (0.72, 0.62, 0.30),
)
_LINEN = Paint((0.95, 0.95, 0.93), "fabric", shine=0.0)


def _pad(size: Vector, position: Vector, paint: Paint, chamfer: float = 0.05) -> Part:
    return solid(chamfered_box(size, chamfer), position, paint)


def bed(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A bed with its headboard at the back (-x), a pillow for each 0.8 m, and a coloured blanket."""
    length, width, height = size_m
    wood = Paint(pick(rng, _WOODS), "wood grain", shine=0.1)
    blanket = Paint(pick(rng, _BLANKETS), "fabric", shine=0.0)
    board, top = 0.06, 0.52
    inner = length - board
    x = board / 2
    parts = [
        box((board, width, height), (-length / 2 + board / 2, 0.0, height / 2), wood),
        box((inner, width, 0.24), (x, 0.0, 0.17), wood),
        _pad((inner - 0.02, width - 0.03, 0.22), (x, 0.0, 0.40), _LINEN),
        _pad((0.64 * inner, width, 0.16), (length / 2 - 0.32 * inner, 0.0, 0.455), blanket, 0.04),
    ]
    count = 2 if width > 1.2 else 1
    for i in range(count):
        y = (i - (count - 1) / 2) * 0.48 * width
        parts.append(
            _pad(
                (0.36, 0.40 * width if count == 2 else 0.62 * width, 0.12), (-length / 2 + 0.30, y, top + 0.04), _LINEN
            )
        )
    return tuple(parts)


def chair(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A four-legged chair whose back is a panel or three slats."""
    depth, width, height = size_m
    colour = pick(rng, _CHAIRS)
    frame = Paint(colour, "wood grain", shine=0.1)
    seat = Paint(pick(rng, _UPHOLSTERY), "fabric", shine=0.0) if rng.random() < 0.5 else frame
    seat_z, leg = 0.46, 0.04
    x, y = depth / 2 - leg / 2, width / 2 - leg / 2
    parts = [_pad((depth, width, 0.06), (0.0, 0.0, seat_z - 0.03), seat, 0.02)]
    parts += [box((leg, leg, seat_z - 0.05), (x, side * y, (seat_z - 0.05) / 2), frame) for side in (-1.0, 1.0)]
    parts += [box((leg, leg, height), (-x, side * y, height / 2), frame) for side in (-1.0, 1.0)]
    inner, rise = width - 2 * leg, height - seat_z
    if rng.random() < 0.5:
        parts.append(box((0.025, inner, 0.62 * rise), (-x, 0.0, height - 0.33 * rise), frame))
    else:
        parts += [box((0.02, inner, 0.16 * rise), (-x, 0.0, seat_z + k * rise), frame) for k in (0.35, 0.62, 0.9)]
    return tuple(parts)


def sofa(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A sofa with arms, a back, and one cushion for each 0.7 m."""
    depth, width, height = size_m
    cloth = Paint(pick(rng, _UPHOLSTERY), "fabric", shine=0.0)
    cushion = Paint(
        (min(1.0, cloth.colour[0] * 1.15), min(1.0, cloth.colour[1] * 1.15), min(1.0, cloth.colour[2] * 1.15)),
        "fabric",
        shine=0.0,
    )
    arm, back = 0.18, 0.22
    inner = width - 2 * arm
    parts = [
        box((depth, width, 0.22), (0.0, 0.0, 0.17), cloth),
        _pad((back, width, height - 0.10), (-depth / 2 + back / 2, 0.0, 0.10 + (height - 0.10) / 2), cloth, 0.07),
    ]
    parts += [_pad((depth, arm, 0.54), (0.0, s * (width - arm) / 2, 0.33), cloth, 0.06) for s in (-1.0, 1.0)]
    count = max(2, round(inner / 0.7))
    each = inner / count
    for i in range(count):
        y = (i + 0.5) * each - inner / 2
        parts.append(_pad((depth - back, each - 0.015, 0.17), (back / 2, y, 0.365), cushion))
        parts.append(_pad((0.16, each - 0.03, 0.34), (-depth / 2 + back + 0.07, y, 0.60), cushion, 0.06))
    if rng.random() < 0.5:
        accent = Paint(pick(rng, _BLANKETS), "fabric", shine=0.0)
        parts.append(_pad((0.14, 0.36, 0.34), (0.06 - depth / 2 + back + 0.14, inner / 2 - 0.22, 0.60), accent, 0.06))
    return tuple(parts)
