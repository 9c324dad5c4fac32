"""Where the parts of an object reach to."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from simulation.houses.objects.part import Part


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The matrix (3, 3) of a unit quaternion (w, x, y, z)."""
    w, (x, y, z) = quaternion[0], quaternion[1:]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def points_of(part: Part) -> NDArray[np.float64]:
    """Vertices (n, 3) of a part, or the corners of the box around a primitive, in the object's frame [m]."""
    if part.shape is not None:
        local = part.shape.vertices_m
    else:
        s = part.size_m
        half = {"box": s, "ellipsoid": s, "sphere": s * 3, "cylinder": (s[0], s[0], s[-1])}[part.kind]
        local = np.array(list(product((-1, 1), repeat=3))) * half
    points: NDArray[np.float64] = local @ rotation_matrix(part.rotation).T + np.array(part.position_m)
    return points


def reach_of(parts: Iterable[Part]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and highest (x, y, z) of all parts [m]."""
    points = np.concatenate([points_of(part) for part in parts])
    return points.min(axis=0), points.max(axis=0)


def triangles_of(parts: Iterable[Part], slices: int = 16, stacks: int = 8) -> int:
    """Triangles that MuJoCo draws for the parts with so many slices and stacks on round things."""
    each = {"box": 12, "sphere": 2 * slices * stacks, "ellipsoid": 2 * slices * stacks, "cylinder": 4 * slices}
    return sum(each[part.kind] if part.shape is None else len(part.shape.faces) for part in parts)
