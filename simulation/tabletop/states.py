"""States in which episodes on a table-top begin: where the objects stand, and how the world differs if randomised.

A state is (3 n + 1,): x [m], y [m] and yaw [rad] of each of the task's n objects, then the seed of its randomisation, 0
for none. The table is divided into squares like a chessboard: training begins with the first object in a black one,
held-out states in a white one. Their randomisations have odd and even seeds. So the two share nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulation.errors import EpisodeError
from simulation.tabletop.task import Area, Task

SQUARE_M = 0.03
"""Side of a square of the chessboard."""

ATTEMPTS = 1000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """Differences of a randomised world from the plain one.

    Attributes:
        table_rgb, lamp: factors of the table's colours (3,) and of the lamp's brightness.
        object_rgb: (n, 3) added to the colours of each object.
        lamp_m: (3,) shift of the lamp.
        camera_m: (3,) shift of the scene camera.
        camera_rad: (3,) rotation vector of the scene camera.
        mass, friction: factors of the objects'.
    """

    table_rgb: Floats
    lamp: float
    object_rgb: Floats
    lamp_m: Floats
    camera_m: Floats
    camera_rad: Floats
    mass: Floats
    friction: float


CAMERA_M, CAMERA_RAD = 0.01, math.radians(1.0)
"""Ranges of each axis of the camera's pose."""


def draw(
    task: Task, rng: np.random.Generator, held_out: bool = False, spread: float = 1.0, randomise: float = 0.0
) -> Floats:
    """Draws a state of a task.

    Args:
        task: of the table-top.
        rng: all that is random comes from it.
        held_out: whether it is a state that nobody trains on.
        spread: fraction of the task's areas, about their middles, in which objects are placed; in (0, 1].
        randomise: probability that colours, light, camera, mass and friction differ as well.

    Raises:
        EpisodeError: there is no such place within the spread.
    """
    for _ in range(ATTEMPTS):
        places = np.array([_place(area, rng, spread) for area in task.areas])
        gaps = np.linalg.norm(places[:, None, :2] - places[None, :, :2], axis=-1)
        near = gaps[np.triu_indices(len(places), 1)] < task.apart_m
        if is_held_out(places[0]) == held_out and not near.any():
            break
    else:
        raise EpisodeError(f"{task.name} within {spread} of its areas", f"a spread that holds a square of {SQUARE_M} m")
    differs = randomise >= 1.0 or (randomise > 0.0 and rng.random() < randomise)
    seed = 2 * int(rng.integers(1, 2**30)) + (not held_out) if differs else 0
    return np.append(places.ravel(), float(seed))


def is_held_out(place: npt.ArrayLike) -> bool:
    """Whether a place (x, y, ...) is in a white square, where no training begins."""
    x, y = (float(number) for number in np.asarray(place, np.float64)[:2])
    return (math.floor(x / SQUARE_M) + math.floor(y / SQUARE_M)) % 2 == 1


def looks(state: Floats) -> Looks | None:
    """Draws the differences of a state's world; None where it is the plain one."""
    seed, count = int(state[-1]), len(state) // 3
    if not seed:
        return None
    rng = np.random.default_rng(seed)
    return Looks(
        table_rgb=rng.uniform(0.6, 1.15, 3),
        lamp=float(rng.uniform(0.6, 1.3)),
        object_rgb=rng.uniform(-0.12, 0.12, (count, 3)),
        lamp_m=rng.uniform(-0.4, 0.4, 3),
        camera_m=rng.uniform(-CAMERA_M, CAMERA_M, 3),
        camera_rad=rng.uniform(-CAMERA_RAD, CAMERA_RAD, 3),
        mass=rng.uniform(0.7, 1.3, count),
        friction=float(rng.uniform(0.7, 1.1)),
    )


def _place(area: Area, rng: np.random.Generator, spread: float) -> Floats:
    middle, half = np.mean(area, axis=1), np.diff(area, axis=1)[:, 0] / 2
    return np.array([*(middle + spread * half * rng.uniform(-1.0, 1.0, 2)), rng.uniform(-math.pi, math.pi)])
