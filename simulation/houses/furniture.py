"""Furniture: supports and obstacles for the objects, never a target itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simulation.houses.categories import SizeRange
from simulation.houses.objects.part import Generator, Paint, Part, Vector, box, pick, rod, solid
from simulation.houses.objects.shapes import chamfered_box, lathe

_WOODS = ((0.55, 0.36, 0.20), (0.74, 0.56, 0.38), (0.38, 0.24, 0.15), (0.88, 0.84, 0.78), (0.60, 0.45, 0.32))
_FRONTS = (*_WOODS, (0.92, 0.92, 0.90), (0.35, 0.45, 0.50), (0.55, 0.62, 0.52))
_WORKTOPS = ((0.25, 0.25, 0.27), (0.80, 0.78, 0.74), (0.55, 0.40, 0.26))
_BOOKS = ((0.60, 0.15, 0.15), (0.15, 0.25, 0.45), (0.15, 0.40, 0.25), (0.75, 0.65, 0.40), (0.30, 0.20, 0.35))
_KNOB = Paint((0.20, 0.20, 0.22), shine=0.6)
_WHITE = Paint((0.95, 0.95, 0.95), shine=0.6)
_STEEL = Paint((0.78, 0.79, 0.80), shine=0.7)

Builder = Callable[[Vector, Generator], tuple[Part, ...]]


@dataclass(frozen=True)
class FurnitureKind:
    """A kind of furniture.

    Attributes:
        name: what it is called.
        size_range_m: smallest and largest full extent, each in depth (x, towards its front), width (y) and height (z).
        has_top: whether objects can be placed on it.
        build: makes its parts from its full extents [m].
    """

    name: str
    size_range_m: SizeRange
    has_top: bool
    build: Builder


def _legs(size_m: Vector, leg: float, height: float, paint: Paint) -> list[Part]:
    x, y = size_m[0] / 2 - leg / 2 - 0.02, size_m[1] / 2 - leg / 2 - 0.02
    return [box((leg, leg, height), (sx * x, sy * y, height / 2), paint) for sx in (-1, 1) for sy in (-1, 1)]


def _table(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    paint = Paint(pick(rng, _WOODS), "wood grain", shine=0.1)
    top = box((depth, width, 0.045), (0.0, 0.0, height - 0.0225), paint)
    return (top, *_legs(size_m, 0.06, height - 0.045, paint))


def _side_table(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    width, _, height = size_m
    paint = Paint(pick(rng, _WOODS), shine=0.2)
    stand = lathe([(0, 0.0), (0.36 * width, 0.0), (0.34 * width, 0.03), (0.05, 0.06), (0.05, height - 0.04)], 12)
    top = lathe([(0.05, height - 0.04), (0.5 * width, height - 0.04), (0.5 * width, height), (0, height)], 16)
    return solid(stand, (0.0, 0.0, 0.0), paint), solid(top, (0.0, 0.0, 0.0), paint)


def _drawers(size_m: Vector, rng: Generator, rows: int, columns: int) -> tuple[Part, ...]:
    depth, width, height = size_m
    case = Paint(pick(rng, _WOODS), "wood grain", shine=0.1)
    front = Paint(pick(rng, _FRONTS), shine=0.2)
    parts = [box((depth - 0.02, width, height), (-0.01, 0.0, height / 2), case)]
    tall, wide = (height - 0.10) / rows, (width - 0.04) / columns
    for row in range(rows):
        for column in range(columns):
            y, z = (column + 0.5) * wide - (width - 0.04) / 2, 0.07 + (row + 0.5) * tall
            parts.append(box((0.02, wide - 0.02, tall - 0.02), (depth / 2 - 0.012, y, z), front))
            parts.append(box((0.02, 0.10, 0.02), (depth / 2, y, z + 0.2 * tall), _KNOB))
    return tuple(parts)


def _nightstand(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    return _drawers(size_m, rng, 2, 1)


def _dresser(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    return _drawers(size_m, rng, 3, 1)


def _tv_stand(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    return _drawers(size_m, rng, 1, 2)


def _wardrobe(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    return _drawers(size_m, rng, 1, 2)


def _counter(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    top = box((depth, width, 0.05), (0.0, 0.0, height - 0.025), Paint(pick(rng, _WORKTOPS), shine=0.4))
    body = _drawers((depth - 0.03, width, height - 0.05), rng, 1, max(2, round(width / 0.6)))
    return (top, *body)


def _shelf(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    paint = Paint(pick(rng, _WOODS), "wood grain", shine=0.1)
    board = 0.03
    parts = [box((depth, board, height), (0.0, side * (width - board) / 2, height / 2), paint) for side in (-1, 1)]
    parts += [box((depth, width, board), (0.0, 0.0, z), paint) for z in (0.08, height / 2, height - board / 2)]
    parts.append(box((0.02, width, height), (-depth / 2 + 0.01, 0.0, height / 2), paint))
    for level in (0.095, height / 2 + board / 2):
        wide, tall = rng.uniform(0.3, 0.8) * (width - 0.1), rng.uniform(0.20, 0.28)
        y = rng.uniform(-1, 1) * (width - 0.1 - wide) / 2
        parts.append(
            box((0.7 * depth, wide, tall), (-0.1 * depth, y, level + tall / 2), Paint(pick(rng, _BOOKS), "stripes"))
        )
    return tuple(parts)


def _fridge(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    paint = _WHITE if rng.random() < 0.5 else _STEEL
    split = 0.62 * height
    doors = [
        ((0.03, width - 0.02, split - 0.08), 0.06 + (split - 0.08) / 2),
        ((0.03, width - 0.02, height - split - 0.02), (height + split) / 2),
    ]
    parts = [box((depth - 0.03, width, height), (-0.015, 0.0, height / 2), Paint((0.6, 0.6, 0.62)))]
    parts += [box(size, (depth / 2 - 0.02, 0.0, z), paint) for size, z in doors]
    parts += [box((0.03, 0.03, 0.3), (depth / 2, -0.38 * width, z), _KNOB) for z in (split - 0.25, split + 0.22)]
    return tuple(parts)


def _vanity(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    basin = lathe(
        [(0.16, height), (0.17, height + 0.02), (0.14, height + 0.02), (0.05, height + 0.003), (0, height + 0.003)], 14
    )
    tap = rod(0.014, 0.14, (-0.40 * depth, -0.26 * width, height + 0.07), _STEEL)
    body = _drawers((depth, width, height), rng, 1, 2)
    return (*body, solid(basin, (-0.02, -0.26 * width, 0.0), _WHITE), tap)


def _bathtub(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    del rng
    shell = solid(chamfered_box(size_m, 0.06), (0.0, 0.0, height / 2), _WHITE)
    water = box((depth - 0.2, width - 0.24, 0.01), (0.0, 0.0, height), Paint((0.60, 0.72, 0.80), shine=0.8))
    return shell, water


_KINDS = (
    FurnitureKind("table", ((0.75, 1.05, 0.72), (0.90, 1.45, 0.76)), True, _table),
    FurnitureKind("desk", ((0.55, 1.05, 0.72), (0.65, 1.35, 0.76)), True, _table),
    FurnitureKind("coffee table", ((0.50, 0.80, 0.40), (0.60, 1.05, 0.46)), True, _table),
    FurnitureKind("side table", ((0.44, 0.44, 0.50), (0.50, 0.50, 0.60)), True, _side_table),
    FurnitureKind("nightstand", ((0.40, 0.42, 0.48), (0.46, 0.55, 0.60)), True, _nightstand),
    FurnitureKind("dresser", ((0.44, 0.85, 0.70), (0.50, 1.20, 0.85)), True, _dresser),
    FurnitureKind("tv stand", ((0.40, 1.10, 0.42), (0.46, 1.45, 0.55)), True, _tv_stand),
    FurnitureKind("counter", ((0.58, 1.20, 0.86), (0.62, 2.20, 0.90)), True, _counter),
    FurnitureKind("shelf", ((0.30, 0.75, 0.80), (0.36, 1.15, 0.92)), True, _shelf),
    FurnitureKind("vanity", ((0.46, 0.90, 0.78), (0.52, 1.15, 0.84)), True, _vanity),
    FurnitureKind("wardrobe", ((0.54, 0.85, 1.75), (0.60, 1.20, 2.00)), False, _wardrobe),
    FurnitureKind("fridge", ((0.62, 0.62, 1.60), (0.70, 0.72, 1.80)), False, _fridge),
    FurnitureKind("bathtub", ((0.72, 1.45, 0.50), (0.80, 1.65, 0.58)), False, _bathtub),
)  # fmt: skip

FURNITURE: Mapping[str, FurnitureKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every kind of furniture by name."""
