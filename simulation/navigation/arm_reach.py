"""Base placement of a Stretch RE1 for a grasp: extension and height of the arm, and obstacles in its path.

The arm points to the robot's right. Turning on the spot brings any object within reach onto the arm's line, so that
a place is feasible or not for every heading: it needs room to turn, the object within the arm's length, no obstacle in
the gripper's path on that side, and the object visible to the manipulation camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from simulation.houses.cache import cached_house
from simulation.houses.clearance import Obstacle
from simulation.houses.house import House, HouseObject
from simulation.navigation.costmap import DISC_M, Field, FreeSpace
from simulation.navigation.goals import CLEAR_POINTS, Goals, cached_space
from simulation.navigation.visibility import in_sight, sample_points
from simulation.robot_models.stretch_cameras import StretchCameras

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HAND_FORWARD_M, HAND_RIGHT_M, HAND_UP_M = -0.021, 0.350, 0.026
"""Grasp centre with the wrist straight, in the base's frame: forward of the axle, to its right with the arm in, and
above the lift's position (`link_grasp_center` of Hello Robot's URDF)."""

ARM_M, LIFT_M = 0.52, 1.095
"""Ranges of the arm and the lift from 0 (URDF, see robots/embodiments/stretch_re1.py)."""

MARGIN_M = 0.02
ABOVE_TOP_M = 0.045
"""The grasp centre is kept this far above a table: the fingers' lowest corner is 0.012 m below it."""

NARROW_M = 0.13
"""An object with a side thinner than this is grasped at its centre, a wider one at its near side."""

NECK = {"vase": 0.85}
"""Fraction of an object's height at which it is grasped at its neck, if the lift goes that high; others halfway."""

BEFORE_M = 0.04
"""Distance of the grasp centre from the near side of a wide object: the fingers end 0.015 m in front of it."""

_ARM_HALF_M, _TIP_M = 0.13, 0.05
_SWING_M = 0.44
_DOWN_RAD = math.radians(60.0)
"""Steepest view of the object: the manipulation camera sees down to 62.5 degrees (33 + 59 / 2)."""

_BEST_M = 0.62
_CHOICE_M = 0.15
_MOST = 0.6  # six of the nine cells in and around a place


@dataclass(frozen=True)
class Reach:
    """The arm's reach to one object.

    Attributes:
        house: of the object.
        thing: the object to grasp.
    """

    house: House
    thing: HouseObject

    @cached_property
    def height_m(self) -> float:
        """Height of the grasp centre at the grasp."""
        bottom = self.thing.position_m[2] - self.thing.size_m[2] / 2
        wanted = bottom + NECK.get(self.thing.category, 0.5) * self.thing.size_m[2]
        return max(min(wanted, LIFT_M + HAND_UP_M), bottom + ABOVE_TOP_M)

    @property
    def lift_m(self) -> float:
        """Lift's position for `height_m`."""
        return self.height_m - HAND_UP_M

    def distance_m(self, x: Floats, y: Floats) -> Floats:
        """Distance of the grasp centre at the grasp from (x, y), between the wheels; the same shape as `x`."""
        dx, dy = self.thing.position_m[0] - x, self.thing.position_m[1] - y
        middle = np.hypot(dx, dy)
        u, v = self._along(dx / middle, dy / middle)
        depth, width, _ = self.thing.size_m
        with np.errstate(divide="ignore"):
            to_side = np.minimum(depth / 2 / np.abs(u), width / 2 / np.abs(v))
        fits = min(depth, width) < NARROW_M or self.thing.category in NECK
        return middle if fits else middle - to_side - BEFORE_M

    def can_from(self, x: Floats, y: Floats) -> Bools:
        """Mask: the object can be grasped from (x, y), given room to turn there."""
        distance = self.distance_m(x, y)
        good = (distance >= HAND_RIGHT_M + MARGIN_M) & (distance <= HAND_RIGHT_M + ARM_M - MARGIN_M)
        good &= 0.0 <= self.lift_m <= LIFT_M
        for k in np.flatnonzero(good):
            good[k] = self._is_clear(x[k], y[k], float(distance[k]))
        good[good] = self._is_seen(x[good], y[good])
        return good

    def _along(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        c, s = math.cos(self.thing.yaw_rad), math.sin(self.thing.yaw_rad)
        return c * x + s * y, c * y - s * x

    def _is_seen(self, x: Floats, y: Floats) -> Bools:
        """Mask: the object is visible to the manipulation camera once the robot has turned."""
        eyes = np.column_stack([x, y, np.full(len(x), StretchCameras().manipulation.position_m[2])])
        seen = np.zeros(len(x), np.intp)
        for point in sample_points(self.thing):
            down = np.arctan2(eyes[:, 2] - point[2], np.hypot(x - point[0], y - point[1]))
            inside = down <= _DOWN_RAD
            seen[inside] += in_sight(eyes[inside], point, self.blockers)
        return seen >= CLEAR_POINTS

    @cached_property
    def blockers(self) -> list[Obstacle]:
        """Boxes near the object that may occlude it."""
        small = [
            Obstacle(other.name, other.position_m[:2], (other.size_m[0] / 2, other.size_m[1] / 2), other.yaw_rad,
                     other.position_m[2] - other.size_m[2] / 2, other.position_m[2] + other.size_m[2] / 2)
            for other in self.house.objects if not other.is_on_floor
        ]  # fmt: skip
        return [box for box in (*self.house.obstacles, *small) if box.name != self.thing.name and self._is_near(box)]

    @cached_property
    def _tall(self) -> list[Obstacle]:
        """Obstacles at the height of the gripper and the arm."""
        low = self.lift_m + HAND_UP_M - 0.012
        return [
            box for box in self.house.obstacles
            if box.top_m > low and box.bottom_m < low + 0.2 and box.name != self.thing.name and self._is_near(box)
        ]  # fmt: skip

    def _is_near(self, box: Obstacle) -> bool:
        x, y, _ = self.thing.position_m
        return float(box.distance_m(np.array(x), np.array(y))) < 1.6

    def _is_clear(self, x: float, y: float, way_m: float) -> bool:
        """Returns whether the wrist's swing (ahead to right) and the arm's path are free of tall obstacles."""
        right = math.atan2(self.thing.position_m[1] - y, self.thing.position_m[0] - x)
        swing = [(_SWING_M * math.cos(right + a), _SWING_M * math.sin(right + a)) for a in np.linspace(0, 1.8, 8)]
        c, s = math.cos(right), math.sin(right)
        arm = [
            (c * far - s * side, s * far + c * side)
            for far in np.linspace(0.3, way_m + _TIP_M, 8)
            for side in (-_ARM_HALF_M, 0.0, _ARM_HALF_M)
        ]
        points = np.array([(0.0, 0.0), *swing, *arm]) + np.array([x, y])
        return all(bool((box.distance_m(points[:, 0], points[:, 1]) > MARGIN_M).all()) for box in self._tall)


def reach_goals(house: House, space: FreeSpace, target: str) -> Goals:
    """Finds the cells from which an object of `target` can be grasped: the best of each object, and its index."""
    cost = np.full(space.clearance_m.shape, np.inf)
    instance = np.zeros(space.clearance_m.shape, np.intp)
    x, y = np.meshgrid(space.x_m, space.y_m, indexing="ij")
    for index, thing in enumerate(house.objects_of(target)):
        near = np.hypot(x - thing.position_m[0], y - thing.position_m[1]) < HAND_RIGHT_M + ARM_M + max(thing.size_m)
        cells = np.nonzero(near & (space.clearance_m >= DISC_M + MARGIN_M))
        reach = Reach(house, thing)
        good = reach.can_from(x[cells], y[cells])
        good &= _is_amid(good, cells, cost.shape)
        if not good.any():
            continue
        distance, room = reach.distance_m(x[cells], y[cells]), space.clearance_m[cells]
        penalty = np.where(good, np.abs(distance - _BEST_M) + np.maximum(0.45 - room, 0.0), np.inf)
        penalty[penalty > penalty.min() + _CHOICE_M] = np.inf
        own = np.full(cost.shape, np.inf)
        own[cells] = penalty
        better = own < cost
        cost[better], instance[better] = own[better], index
    return Goals(cost, instance)


def _is_amid(good: Bools, cells: tuple[npt.NDArray[np.intp], ...], shape: tuple[int, ...]) -> Bools:
    """Mask: most cells around a cell are feasible too, since the base stops within half a step of its goal."""
    grid = np.zeros(shape)
    grid[cells] = good
    return np.asarray(uniform_filter(grid, 3, mode="constant")[cells] > _MOST)


@lru_cache(maxsize=8)
def cached_reach(seed: int, target: str) -> tuple[Goals, Field]:
    """Returns the grasp goals of `target` in the house of `seed`, and the distance field to them."""
    space = cached_space(seed)
    goals = reach_goals(cached_house(seed), space, target)
    return goals, space.field(goals.cost_m)
