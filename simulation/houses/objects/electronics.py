"""Alarm clock, laptop and television: things with a face or a screen."""

from __future__ import annotations

import numpy as np

from simulation.houses.objects.part import Generator, Paint, Part, Vector, ball, box, pick, rod, solid, turn_x, turn_y
from simulation.houses.objects.shapes import chamfered_box, lathe, panel
from simulation.houses.textures import SCREEN_TEXTURES

_CLOCK_COLOURS = ((0.80, 0.12, 0.12), (0.15, 0.35, 0.65), (0.75, 0.60, 0.25), (0.20, 0.55, 0.45))
_METAL = Paint((0.70, 0.70, 0.72), shine=0.8)
_BLACK = Paint((0.05, 0.05, 0.06), shine=0.4)
_LAPTOP_COLOURS = ((0.70, 0.71, 0.73), (0.35, 0.36, 0.39), (0.80, 0.78, 0.76))
_LID_LEAN_RAD = np.radians(12.0)


def alarm_clock(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A twin-bell clock, or one time in three a dark box with red digits."""
    return _digital_clock(size_m) if rng.random() < 1 / 3 else _bell_clock(size_m, rng)


def _bell_clock(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    depth, width, height = size_m
    case = Paint(pick(rng, _CLOCK_COLOURS), shine=0.5)
    radius = min(0.40 * height, 0.47 * width)
    z = radius + 0.08 * height
    drum = lathe(
        [(0, -depth / 2), (radius, -depth / 2), (radius, depth / 2), (0.9 * radius, depth / 2), (0, 0.42 * depth)], 16
    )
    face = panel(1.72 * radius, 1.72 * radius)
    disc = lathe([(0, -0.002), (0.86 * radius, -0.002), (0.86 * radius, 0.002), (0, 0.002)], 16)
    parts = [solid(drum, (0.0, 0.0, z), case, turn_y(np.pi / 2))]
    parts.append(solid(disc, (depth / 2 - 0.004, 0.0, z), Paint((0.98, 0.98, 0.95)), turn_y(np.pi / 2)))
    parts.append(solid(face.scaled((1.0, 0.72, 0.72)), (depth / 2, 0.0, z), Paint((1.0, 1.0, 1.0), "clock face", 0.3)))
    for side in (-1.0, 1.0):
        bell = ball((0.5 * depth, 0.34 * width, 0.24 * height), (0.0, side * 0.26 * width, 0.88 * height), _METAL)
        foot = rod(0.012, 0.16 * height, (0.0, side * 0.5 * radius, 0.08 * height), _METAL, turn_x(side * 0.4))
        parts += [bell, foot]
    return tuple(parts)


def _digital_clock(size_m: Vector) -> tuple[Part, ...]:
    depth, width, height = size_m
    case = solid(chamfered_box((depth, width, height), 0.02), (0.0, 0.0, height / 2), _BLACK)
    display = solid(
        panel(0.88 * width, 0.62 * height), (depth / 2 + 0.002, 0.0, 0.48 * height), Paint((1, 1, 1), "digits", 0.8)
    )
    button = box((0.4 * depth, 0.4 * width, 0.012), (0.0, 0.0, height), _METAL)
    return case, display, button


def laptop(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """An open laptop: keyboard towards the front, lit screen behind."""
    depth, width, height = size_m
    shell = Paint(pick(rng, _LAPTOP_COLOURS, 0.03), shine=0.5)
    lean = turn_y(-_LID_LEAN_RAD)
    run = height * np.tan(_LID_LEAN_RAD)
    base_depth = depth - run
    hinge = -depth / 2 + run
    base = box((base_depth, width, 0.018), (depth / 2 - base_depth / 2, 0.0, 0.009), shell)
    keys = solid(panel(0.94 * width, 0.94 * base_depth), (depth / 2 - base_depth / 2, 0.0, 0.0195),
                 Paint((1, 1, 1), "keyboard"), turn_y(-np.pi / 2))  # fmt: skip
    middle = (hinge - run / 2, 0.0, 0.015 + (height - 0.015) / 2)
    lid = box((0.010, width, height - 0.015), middle, shell, lean)
    screen = solid(
        panel(0.92 * width, 0.86 * (height - 0.015)),
        (middle[0] + 0.0065, 0.0, middle[2]),
        Paint((1, 1, 1), "desktop", 0.7),
        lean,
    )
    return base, keys, lid, screen


def television(size_m: Vector, rng: Generator) -> tuple[Part, ...]:
    """A flat screen in a black frame on a foot; off, or showing an image."""
    depth, width, height = size_m
    texture = str(rng.choice(SCREEN_TEXTURES, p=(0.6, 0.2, 0.2)))
    bottom = 0.12 * height
    tall = height - bottom
    case = box((0.05, width, tall), (0.0, 0.0, bottom + tall / 2), _BLACK)
    screen = solid(
        panel(width - 0.05, tall - 0.06), (0.0265, 0.0, bottom + tall / 2 + 0.005), Paint((1, 1, 1), texture, 0.4, 0.6)
    )
    neck = box((0.04, 0.10, bottom + 0.06), (-0.01, 0.0, bottom / 2 + 0.03), _BLACK)
    foot = box((depth, 0.42 * width, 0.018), (0.0, 0.0, 0.009), _METAL if rng.random() < 0.4 else _BLACK)
    return case, screen, neck, foot
