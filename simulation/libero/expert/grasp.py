"""Grasps from above that may hold an object, the likelier first; which of them does is tried in the simulator."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from simulation.libero.expert.shape import object_points
from simulation.libero.world import Floats, LiberoWorld

OPENING_M = 0.074
"""Between the open fingers, less a margin."""

TIP_M = 0.010
"""The point between the fingertips stays so far above what the object stands on."""

SLICE_M = 0.02
"""Height of the part of an object that the fingers meet."""

DIRECTIONS = 8
DEPTHS_M = (0.03, 0.018, 0.045)
"""Of the fingers below the top of what is taken across; of a rim, less by `RIM_LESS_M`."""

RIM_LESS_M = 0.008

INWARDS_M = (0.0, 0.02)
"""Where there is no room for the finger outside, the hand stands further inside and draws the wall to its middle."""

WALL_M = 0.004
"""Half the thickness of a wall."""


@dataclass(frozen=True)
class Grasp:
    """Where the hand closes.

    Attributes:
        key: the same for the same grasp of the same object elsewhere.
        offset_m: (3,) from the object's position to the point between the fingers, world frame.
        yaw_rad: of the hand that points down.
    """

    key: str
    offset_m: Floats
    yaw_rad: float


def grasps(world: LiberoWorld, name: str) -> list[Grasp]:
    """Grasps of an object: across where it is narrow enough, else by its rim."""
    points = object_points(world, name)
    at = world.data.xpos[world.scene.objects[name].body]
    found = [*_across(points), *_by_the_rim(points)]
    return [Grasp(key, point - at, yaw) for key, point, yaw in found]


def _across(points: Floats) -> list[tuple[str, Floats, float]]:
    """Grasps with the object between the fingers, the narrowest side first."""
    found = []
    top, bottom = points[:, 2].max(), points[:, 2].min()
    heights_m: list[float] = []
    for depth_m in DEPTHS_M:
        height = max(top - depth_m, bottom + TIP_M)
        if height in heights_m:
            continue
        heights_m.append(height)
        for number in range(DIRECTIONS):
            yaw = _folded(number * np.pi / DIRECTIONS)
            along = np.array([-np.sin(yaw), np.cos(yaw)])  # the fingers open along it
            across = np.array([np.cos(yaw), np.sin(yaw)])
            low, high = np.percentile(points[:, :2] @ along, [0, 100])
            if high - low > OPENING_M:
                continue
            side = points[:, :2] @ across
            middle = along * (low + high) / 2 + across * (side.min() + side.max()) / 2
            found.append((high - low, f"across {depth_m} {number}", np.append(middle, height), yaw))
    found.sort(key=lambda one: (round(one[0], 3), abs(one[3])))
    return [(key, point, yaw) for _, key, point, yaw in found]


def _by_the_rim(points: Floats) -> list[tuple[str, Floats, float]]:
    """Grasps with a finger inside and one outside of a wall."""
    rim = points[points[:, 2] > points[:, 2].max() - SLICE_M]
    centre = (rim[:, :2].min(axis=0) + rim[:, :2].max(axis=0)) / 2
    found = []
    for inwards_m, depth_m in itertools.product(INWARDS_M, DEPTHS_M):
        for number in range(DIRECTIONS):
            angle = np.pi / 2 + number * 2 * np.pi / DIRECTIONS
            outwards = np.array([np.cos(angle), np.sin(angle)])
            along = (points[:, :2] - centre) @ outwards
            top = points[along > along.max() - WALL_M, 2].max()  # of this side: the object may be tilted
            height = max(top - depth_m + RIM_LESS_M, points[:, 2].min() + TIP_M)
            point = np.append(centre + (along.max() - WALL_M - inwards_m) * outwards, height)
            found.append((f"rim {depth_m} {number} {inwards_m}", point, _folded(angle - np.pi / 2)))
    return found


def _folded(yaw: float) -> float:
    """The same line of the fingers with the least turn: yaw in [-pi/2, pi/2)."""
    return float((yaw + np.pi / 2) % np.pi - np.pi / 2)
