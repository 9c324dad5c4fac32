"""Shortest-path expert for ObjectNav from the simulator's ground truth; policies are cloned from its actions.

It follows the geodesic field to a place from which a target is visible, faces it and chooses `done`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulation.experts.path_follower import PathFollower
from simulation.navigation.costmap import Cell
from simulation.navigation.goals import CLEAR_POINTS, cached_goals, targets_of
from simulation.navigation.visibility import Floats, visible_points
from simulation.twins.house_twin import Twin

DONE_M = 1.6
"""Distance to a visible point of the target for `done`: 0.4 m below the limit, so that a clone has a margin."""

DONE_BEARING_RAD = math.radians(24.0)


class ObjectNavExpert(PathFollower):
    """Chooses the next action; a function of the twin's state and history alone.

    Solves every task whose targets are objects to be seen: `navigation.goals.targets_of` the episode.
    """

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin)
        self._instance: npt.NDArray[np.intp]
        self._goal_cost: Floats

    def action(self) -> str:
        """Returns the name of the policy action to take now."""
        self._plan()
        return "done" if self._is_done() else self.drive()

    def _plan(self) -> None:
        if not self._is_new():
            return
        episode = self.twin.episode
        goals, field = cached_goals(episode.house_seed, episode.target, self.twin.eye, episode.objects)
        self._goal_cost, self._instance = goals.cost_m.copy(), goals.instance
        self.follow(field)

    def _is_done(self, least_points: int = CLEAR_POINTS) -> bool:
        x, y, _ = self.twin.pose
        for thing in targets_of(self.twin.house, self.twin.episode):
            near = math.hypot(thing.position_m[0] - x, thing.position_m[1] - y) < 2 * DONE_M
            points = visible_points(self.twin.world, thing) if near else []
            ready = any(self._is_ready(point) for point in points)
            if ready and len(points) >= least_points:
                return True
        return False

    def _is_ready(self, point: Floats) -> bool:
        x, y, _ = self.twin.pose
        return math.hypot(point[0] - x, point[1] - y) <= DONE_M and abs(self._bearing(point)) <= DONE_BEARING_RAD

    def _arrived(self, cell: Cell) -> str | None:
        """Turns to the target, then ends the episode or plans anew."""
        return self._turn(self._bearing(self._facing(cell))) or self._settle(cell)

    def _settle(self, cell: Cell) -> str | None:
        """At a goal, facing the target, with less of it visible than planned: ends if it suffices, else plans anew."""
        if self._is_done(least_points=1):
            return "done"
        return self._planned() if self._drop_goals(cell) else None

    def _facing(self, cell: Cell) -> Sequence[float]:
        return targets_of(self.twin.house, self.twin.episode)[int(self._instance[cell])].position_m

    def _drop_goals(self, cell: Cell) -> bool:
        """Drops a goal from which the target is not visible and plans for the others; False when none is left."""
        i, j = cell
        self._goal_cost[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] = np.inf
        if not np.isfinite(self._goal_cost).any():
            self._history = None  # start again with every goal
            return False
        self.follow(self._field.space.field(self._goal_cost))
        return True
