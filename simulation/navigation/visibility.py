"""Visibility of objects: sample points and occlusion tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulation.houses.clearance import Obstacle
from simulation.houses.house import HouseObject
from simulation.robot_models.body import Eye
from simulation.twins.world import World

Floats = npt.NDArray[np.float64]
_EDGE_RAD = math.radians(4.0)
_INWARDS = np.array(
    [[0, 0, 0], [0, 0, 0.8], [0.7, 0, 0], [-0.7, 0, 0], [0, 0.7, 0], [0, -0.7, 0], [0.7, 0, 0.7], [-0.7, 0, 0.7]]
)


def sample_points(thing: HouseObject) -> Floats:
    """Returns sample points (8, 3) of an object in the world [m], inside its bounding box, its centre first."""
    local = _INWARDS * np.array(thing.size_m) / 2
    c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
    points: Floats = np.array(thing.position_m) + local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return points


def in_sight(
    eyes: Floats, point: Floats, obstacles: Sequence[Obstacle], margin_m: float = 0.0
) -> npt.NDArray[np.bool_]:
    """Mask (n,): the segment from `eyes` (n, 3) to `point` (3,) passes every box, by `margin_m` to its sides.

    Slab test in each box's own frame.
    """
    clear = np.ones(len(eyes), bool)
    for box in obstacles:
        c, s = math.cos(box.yaw_rad), math.sin(box.yaw_rad)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        middle = np.array([*box.centre_xy_m, (box.bottom_m + box.top_m) / 2])
        u, v = box.half_xy_m
        half = np.array([u + margin_m, v + margin_m, (box.top_m - box.bottom_m) / 2])
        start, end = (eyes - middle) @ turn, (point - middle) @ turn
        ray = end - start
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        a, b = (-half - start) / ray, (half - start) / ray
        enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
        clear &= ~((enter < leave) & (leave > 0.0) & (enter < 0.999))
    return clear


def in_height(eye: Eye, distance_m: Floats, z_m: float) -> npt.NDArray[np.bool_]:
    """Mask: a point `z_m` above the floor is within the vertical field of view of a camera that faces it."""
    down = np.arctan2(eye.height_m - z_m, np.maximum(distance_m - eye.forward_m, 1e-6))
    pitch, half = math.radians(eye.pitch_deg), math.radians(eye.fov_deg) / 2 - _EDGE_RAD
    inside: npt.NDArray[np.bool_] = np.abs(down - pitch) <= half
    return inside


def visible_points(world: World, thing: HouseObject) -> list[Floats]:
    """Sample points (3,) of an object that the navigation camera sees, at any distance."""
    return [point for point in sample_points(thing) if world.sees(point, thing.name)]


def nearest_and_seen(world: World, things: Sequence[HouseObject]) -> tuple[float, bool]:
    """Returns the horizontal distance [m] to the nearest sample point of `things`, and whether any is visible.

    Infinity where there are no things.
    """
    x, y = world.base[:2]
    points = [point for thing in things for point in sample_points(thing)]
    nearest_m = float(min((math.hypot(point[0] - x, point[1] - y) for point in points), default=math.inf))
    return nearest_m, any(len(visible_points(world, thing)) > 0 for thing in things)
