"""Garbage can, spray bottle and toilet."""

from __future__ import annotations

from simulation.houses.objects.part import Generator, Paint, Part, Vector, box, pick, rod, solid, turn_y
from simulation.houses.objects.shapes import chamfered_box, lathe

_CANS = ((0.42, 0.43, 0.45), (0.12, 0.12, 0.13), (0.70, 0.71, 0.73), (0.20, 0.40, 0.30), (0.25, 0.35, 0.55))
_BAG = Paint((0.92, 0.92, 0.95), shine=0.4)
_INSIDE = Paint((0.06, 0.06, 0.06), shine=0.0)
_BOTTLES = ((0.15, 0.45, 0.90), (0.20, 0.75, 0.35), (0.95, 0.55, 0.10), (0.85, 0.20, 0.60), (0.30, 0.80, 0.85))
_HEADS = ((0.95, 0.95, 0.95), (0.90, 0.15, 0.12), (0.10, 0.10, 0.12))
_BOTTLE = [
    (0, 0.0),
    (0.46, 0.0),
    (0.50, 0.03),
    (0.50, 0.30),
    (0.40, 0.42),
    (0.46, 0.54),
    (0.20, 0.70),
    (0.17, 0.78),
    (0, 0.78),
]
_CERAMIC = Paint((0.96, 0.96, 0.96), shine=0.7)
_SEAT = Paint((0.88, 0.88, 0.90), shine=0.5)
_PEDESTAL = [(0, 0.0), (0.33, 0.0), (0.30, 0.30), (0.42, 0.70), (0.50, 1.0), (0, 1.0)]


def garbage_can(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A tapered bin: open with a bag over its rim, or closed by a domed lid."""
    width, _, height = size_m
    paint = Paint(pick(rng, _CANS, 0.04), shine=0.4)
    if rng.random() < 0.5:
        return _open_can(width, height, paint)
    side = 0.78 * height
    body = lathe([(0, 0.0), (0.40 * width, 0.0), (0.49 * width, side), (0, side)], 16)
    lid = lathe(
        [
            (0, side - 0.01),
            (0.5 * width, side - 0.01),
            (0.5 * width, side + 0.03),
            (0.34 * width, 0.94 * height),
            (0, height),
        ],
        16,
    )
    shade = Paint((0.55 * paint.colour[0], 0.55 * paint.colour[1], 0.55 * paint.colour[2]), shine=0.3)
    flap = box((0.012, 0.42 * width, 0.10 * height), (0.41 * width, 0.0, 0.9 * height), _INSIDE, turn_y(-0.75))
    return solid(body, (0.0, 0.0, 0.0), paint), solid(lid, (0.0, 0.0, 0.0), shade), flap


def _open_can(width: float, height: float, paint: Paint) -> tuple[Part, ...]:
    body = lathe(
        [
            (0, 0.0),
            (0.38 * width, 0.0),
            (0.48 * width, height),
            (0.44 * width, height),
            (0.36 * width, 0.3 * height),
            (0, 0.3 * height),
        ],
        16,
    )
    rim = lathe(
        [
            (0.485 * width, 0.86 * height),
            (0.5 * width, 0.88 * height),
            (0.5 * width, height),
            (0.42 * width, 1.01 * height),
            (0.41 * width, 0.7 * height),
        ],
        16,
    )
    return solid(body, (0.0, 0.0, 0.0), paint), solid(rim, (0.0, 0.0, 0.0), _BAG)


def spray_bottle(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A bright bottle with a waist, and a trigger head that points to the front."""
    depth, width, height = size_m
    liquid = Paint(pick(rng, _BOTTLES, 0.04), shine=0.5)
    head = Paint(_HEADS[rng.integers(len(_HEADS))], shine=0.3)
    radius = width / 2
    body = lathe([(2 * r * radius, z * height) for r, z in _BOTTLE], 12)
    label = lathe([(0.505 * width, 0.08 * height), (0.505 * width, 0.26 * height)], 12)
    top = depth - radius
    return (
        solid(body, (0.0, 0.0, 0.0), liquid),
        solid(label, (0.0, 0.0, 0.0), Paint((0.97, 0.97, 0.92))),
        rod(0.26 * width, 0.08 * height, (0.0, 0.0, 0.80 * height), head),
        solid(
            chamfered_box((top + 0.25 * width, 0.34 * width, 0.15 * height), 0.015),
            (top / 2 - 0.1 * width, 0.0, 0.91 * height),
            head,
        ),
        rod(0.10 * width, 0.03, (top + 0.02, 0.0, 0.93 * height), liquid, turn_y(1.5708)),
        box((0.018, 0.14 * width, 0.17 * height), (0.52 * top, 0.0, 0.78 * height), head, turn_y(0.35)),
    )


def toilet(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A white toilet: tank at the back (-x), bowl with seat in front, its lid up or down."""
    depth, width, height = size_m
    rim, tank = 0.40, 0.20
    reach = depth - tank + 0.02
    x = depth / 2 - reach / 2
    stretch = (reach / width, 1.0, 1.0)
    bowl = lathe([(r * width, z * rim) for r, z in _PEDESTAL], 16).scaled(stretch)
    ring = [(0.32, 0.0), (0.52, 0.0), (0.52, 0.05), (0.32, 0.05), (0.30, -0.10)]
    seat = lathe([(r * width, rim + z * 0.5) for r, z in ring], 16).scaled(stretch)
    water = lathe([(0.34 * width, rim + 0.004), (0, rim + 0.003)], 16).scaled(stretch)
    cover = lathe([(0, 0.0), (0.5 * width, 0.0), (0.5 * width, 0.02), (0, 0.03)], 16).scaled(stretch)
    parts = [
        solid(bowl, (x, 0.0, 0.0), _CERAMIC),
        box(
            (tank, 0.98 * width, height - rim), (-depth / 2 + tank / 2, 0.0, rim + (height - rim) / 2 - 0.02), _CERAMIC
        ),
        box((tank + 0.02, width, 0.04), (-depth / 2 + tank / 2, 0.0, height - 0.02), _SEAT),
        box((tank + 0.1, 0.5 * width, rim), (-depth / 2 + tank / 2 + 0.05, 0.0, rim / 2), _CERAMIC),
        rod(0.02, 0.02, (-depth / 2 + tank / 2, 0.0, height + 0.01), Paint((0.75, 0.75, 0.78), shine=0.9)),
    ]
    if rng.random() < 0.6:
        parts.append(solid(seat, (x, 0.0, 0.0), _SEAT))
        parts.append(solid(water, (x, 0.0, 0.0), Paint((0.55, 0.66, 0.74), shine=0.8)))
        parts.append(
            solid(cover.scaled((0.78, 0.95, 1.0)), (-depth / 2 + tank + 0.05, 0.0, rim + 0.24), _SEAT, turn_y(1.45))
        )
    else:
        parts.append(solid(cover, (x, 0.0, rim), _SEAT))
    return tuple(parts)
