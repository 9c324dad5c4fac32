"""Cost map of a house: a clearance grid and geodesic distance fields over it.

World frame: x and y on the floor [m]. A cell is (i, j): i counts along x, j along y.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from simulation.houses.clearance import Obstacle

Cell = tuple[int, int]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Point = tuple[float, float]

CELL_M = 0.1
"""Edge of a cell: half of one step of the base."""

DISC_M = 0.36
"""Radius that a Stretch RE1 with arm retracted and wrist folded needs to turn on the spot: its collision boxes reach
0.334 m (the rear corners of the base) from the point between the wheels; the rest is margin."""

TIGHT_M = 0.24
"""The base is 0.184 m wide to either side, so straight ahead it fits through less than its disc; below this, nothing is
planned."""

CAP_M = 1.0
"""Clearance is not measured beyond this."""

_COMFORT_M = 0.60
_TIGHT_COST = 15.0
_COMFORT_COST = 2.0
_STEPS = ((1, 0), (0, 1), (1, 1), (1, -1))


@dataclass(frozen=True)
class FreeSpace:
    """Distance to the nearest obstacle over a house.

    Attributes:
        origin_m: lower corner of cell (0, 0).
        clearance_m: (nx, ny) distance from the middle of each cell to the nearest obstacle, at most `CAP_M`.
    """

    origin_m: Point
    clearance_m: Floats

    @classmethod
    def around(cls, obstacles: Iterable[Obstacle], bounds: Sequence[float], height_m: float) -> FreeSpace:
        """Measures the free space of a robot of `height_m` in `bounds` (x_min, y_min, x_max, y_max) [m].

        Exact distances to the boxes; obstacles that hang above the robot do not count.
        """
        x_min, y_min, x_max, y_max = bounds
        nx, ny = math.ceil((x_max - x_min) / CELL_M), math.ceil((y_max - y_min) / CELL_M)
        space = cls((x_min, y_min), np.full((nx, ny), CAP_M))
        for obstacle in obstacles:
            if obstacle.bottom_m < height_m:
                space._carve(obstacle)
        return space

    def _carve(self, obstacle: Obstacle) -> None:
        c, s = abs(math.cos(obstacle.yaw_rad)), abs(math.sin(obstacle.yaw_rad))
        (x, y), (u, v) = obstacle.centre_xy_m, obstacle.half_xy_m
        reach_x, reach_y = c * u + s * v + CAP_M, s * u + c * v + CAP_M
        (low_i, low_j), (high_i, high_j) = self.cell(x - reach_x, y - reach_y), self.cell(x + reach_x, y + reach_y)
        window = self.clearance_m[low_i : high_i + 1, low_j : high_j + 1]
        xs, ys = self.x_m[low_i : high_i + 1, None], self.y_m[None, low_j : high_j + 1]
        np.minimum(window, obstacle.distance_m(xs, ys), out=window)

    @cached_property
    def x_m(self) -> Floats:
        """(nx,) middle of each column of cells."""
        return _middles(self.origin_m[0], self.clearance_m.shape[0])

    @cached_property
    def y_m(self) -> Floats:
        """(ny,) middle of each row of cells."""
        return _middles(self.origin_m[1], self.clearance_m.shape[1])

    def cell(self, x_m: float, y_m: float) -> Cell:
        """Returns the cell of a point, or the nearest one."""
        i, j = math.floor((x_m - self.origin_m[0]) / CELL_M), math.floor((y_m - self.origin_m[1]) / CELL_M)
        nx, ny = self.clearance_m.shape
        return min(max(i, 0), nx - 1), min(max(j, 0), ny - 1)

    def point(self, cell: Cell) -> Point:
        """Returns the centre of a cell."""
        return float(self.x_m[cell[0]]), float(self.y_m[cell[1]])

    def clearance_at(self, x_m: float, y_m: float) -> float:
        """Distance to the nearest obstacle [m], bilinear between the middles of the cells around a point."""
        nx, ny = self.clearance_m.shape
        u = min(max((x_m - self.origin_m[0]) / CELL_M - 0.5, 0.0), nx - 1.001)
        v = min(max((y_m - self.origin_m[1]) / CELL_M - 0.5, 0.0), ny - 1.001)
        i, j = int(u), int(v)
        low, high = self.clearance_m[i : i + 2, j : j + 2].tolist()
        s, t = u - i, v - j
        return float((1 - s) * ((1 - t) * low[0] + t * low[1]) + s * ((1 - t) * high[0] + t * high[1]))

    def least_clearance(self, start: Point, end: Point) -> float:
        """Smallest clearance of the cells along a straight line [m]."""
        count = max(2, math.ceil(math.dist(start, end) / (CELL_M / 2)) + 1)
        fraction = np.linspace(0.0, 1.0, count)
        i = ((start[0] + fraction * (end[0] - start[0]) - self.origin_m[0]) / CELL_M).astype(np.intp)
        j = ((start[1] + fraction * (end[1] - start[1]) - self.origin_m[1]) / CELL_M).astype(np.intp)
        nx, ny = self.clearance_m.shape
        return float(self.clearance_m[i.clip(0, nx - 1), j.clip(0, ny - 1)].min())

    @cached_property
    def parts(self) -> npt.NDArray[np.int32]:
        """(nx, ny) label of the connected component in which a disc of `DISC_M` fits; 0 where it does not."""
        labels: npt.NDArray[np.int32] = label(self.clearance_m >= DISC_M)[0]
        return labels

    def field(self, goals: Floats) -> Field:
        """Computes the cost to go to the nearest goal.

        Args:
            goals: (nx, ny) cost of ending in a cell [m]; infinity where it is no goal.
        """
        nodes = np.arange(self.clearance_m.size + 1)  # the last node is connected to every goal
        ends = np.flatnonzero(np.isfinite(goals.ravel()))
        rows, columns, costs = self._edges
        rows = np.concatenate([rows, np.full(len(ends), nodes[-1])])
        columns = np.concatenate([columns, ends])
        costs = np.concatenate([costs, np.maximum(goals.ravel()[ends], 1e-3)])
        graph = csr_matrix((costs, (rows, columns)), shape=(len(nodes), len(nodes)))
        cost: Floats = dijkstra(graph, indices=nodes[-1])
        return Field(self, cost[:-1].reshape(goals.shape), np.isfinite(goals))

    @cached_property
    def _edges(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
        """Both directions of every edge between neighbouring cells: from, to, cost [m]."""
        number = np.arange(self.clearance_m.size).reshape(self.clearance_m.shape)
        scale, can = self._scale(), self.clearance_m >= TIGHT_M
        rows, columns, costs = [], [], []
        for di, dj in _STEPS:
            first, second = _shifted(di, dj)
            both = can[first] & can[second]
            a, b = number[first][both], number[second][both]
            cost = CELL_M * math.hypot(di, dj) * (scale[first][both] + scale[second][both]) / 2
            rows += [a, b]
            columns += [b, a]
            costs += [cost, cost]
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(costs)

    def _scale(self) -> Floats:
        """(nx, ny) cost of a metre: 1 in the open, more near obstacles, much more where the disc does not fit."""
        lack = np.clip((_COMFORT_M - self.clearance_m) / (_COMFORT_M - DISC_M), 0.0, 1.0)
        scale: Floats = 1.0 + _COMFORT_COST * lack + _TIGHT_COST * (self.clearance_m < DISC_M)
        return scale


@dataclass(frozen=True)
class Field:
    """Cost to go over a free space.

    Attributes:
        space: the free space.
        cost_m: (nx, ny) clearance-weighted distance to the nearest goal, infinity where there is no path.
        is_goal: (nx, ny) goal cells.
    """

    space: FreeSpace
    cost_m: Floats
    is_goal: Bools

    def cost_at(self, x_m: float, y_m: float) -> float:
        """Cost to go from a point [m]."""
        return float(self.cost_m[self.space.cell(x_m, y_m)])

    def entry(self, x_m: float, y_m: float) -> Cell | None:
        """Returns the point's cell if it has a path to a goal, else the cheapest cell nearby."""
        i, j = self.space.cell(x_m, y_m)
        if np.isfinite(self.cost_m[i, j]):
            return i, j
        reach = 5
        low_i, low_j = max(i - reach, 0), max(j - reach, 0)
        window = self.cost_m[low_i : i + reach + 1, low_j : j + reach + 1]
        if not np.isfinite(window).any():
            return None
        far = np.hypot(np.arange(window.shape[0])[:, None] + low_i - i, np.arange(window.shape[1])[None, :] + low_j - j)
        best = np.unravel_index(np.argmin(window + 20.0 * CELL_M * far), window.shape)
        return int(best[0]) + low_i, int(best[1]) + low_j

    def descent(self, cell: Cell, count: int) -> list[Cell]:
        """Follows the field from `cell` for up to `count` cells, always to the best neighbour, until a goal."""
        cells = [cell]
        while len(cells) < count and not self.is_goal[cells[-1]]:
            best = min(self._neighbours(cells[-1]), key=lambda other: self.cost_m[other])
            if self.cost_m[best] >= self.cost_m[cells[-1]]:
                break
            cells.append(best)
        return cells

    def _neighbours(self, cell: Cell) -> list[Cell]:
        nx, ny = self.cost_m.shape
        i, j = cell
        return [
            (a, b)
            for a in range(max(i - 1, 0), min(i + 2, nx))
            for b in range(max(j - 1, 0), min(j + 2, ny))
            if (a, b) != cell
        ]


def _middles(origin_m: float, count: int) -> Floats:
    return np.asarray(origin_m + (np.arange(count) + 0.5) * CELL_M, dtype=np.float64)


def _shifted(di: int, dj: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Returns slices that pair each cell of a grid with its neighbour at (+di, +dj); di is 0 or 1."""
    first_j, second_j = (slice(None), slice(None))
    if dj > 0:
        first_j, second_j = slice(None, -1), slice(1, None)
    if dj < 0:
        first_j, second_j = slice(1, None), slice(None, -1)
    first_i, second_i = (slice(None, -1), slice(1, None)) if di else (slice(None), slice(None))
    return (first_i, first_j), (second_i, second_j)
