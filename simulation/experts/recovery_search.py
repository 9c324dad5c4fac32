"""Recovery from tight places: best-first search over base poses with collision checks of the true shape."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Mapping
from functools import cached_property

from robots.command import Command, MoveBase, RotateBase
from robots.embodiments.stretch_re1 import ACTIONS, STEP_M
from simulation.navigation.costmap import Field
from simulation.robot_models.body import BasePose
from simulation.twins.world import World, swept

Moves = Mapping[str, MoveBase | RotateBase]


def base_moves(actions: Mapping[str, Command]) -> Moves:
    """Selects those of a robot's actions that move the base."""
    return {name: command for name, command in actions.items() if isinstance(command, MoveBase | RotateBase)}


MOVES = base_moves(ACTIONS)
"""Base moves of the Stretch."""

_LACK_COST = 16.0  # cost of a metre where the disc does not fit, as in the field
_NEAR_M, _NEAR_RAD = 0.05, math.radians(6.0)


@dataclasses.dataclass(frozen=True)
class RecoverySearch:
    """Search for a short action sequence from the robot's pose to an open one.

    Attributes:
        world: used for collision checks; its base pose is restored.
        field: cost to go and clearance.
        open_m: clearance of a pose that may end the search.
        below_m: cost to go that such a pose should be under, so that leaving also makes progress.
        moves: base actions to search over.
        max_expansions: poses to expand before giving up.
    """

    world: World
    field: Field
    open_m: float
    below_m: float
    moves: Moves = dataclasses.field(default_factory=lambda: MOVES)
    max_expansions: int = 300

    def plan(self) -> list[str]:
        """Returns the actions to an open pose, under `below_m` if one was found; empty where there is none."""
        start = self.world.base
        queue: list[tuple[float, int, int, BasePose]] = [(0.0, 0, 0, start)]
        came: dict[int, tuple[int, str]] = {}
        seen, order, fallback = {_key(start)}, 0, 0
        for _ in range(self.max_expansions):
            if not queue:
                break
            _, node, count, pose = heapq.heappop(queue)
            if node and self._is_open(pose):
                if self.field.cost_at(*pose[:2]) < self.below_m:
                    return _actions_to(came, node)
                fallback = fallback or node
            for name, move in self.moves.items():
                end = swept(pose, move)[-1]
                if _key(end) in seen or self._touches(pose, move):
                    continue
                seen.add(_key(end))
                order += 1
                came[order] = node, name
                heapq.heappush(queue, (self._estimate(count + 1, end), order, count + 1, end))
        return _actions_to(came, fallback)

    def _is_open(self, pose: BasePose) -> bool:
        return self.field.space.clearance_at(*pose[:2]) >= self.open_m

    def _estimate(self, count: int, pose: BasePose) -> float:
        """Actions so far plus an estimate of those to come; where the field has no path, missing clearance counts."""
        x, y, _ = pose
        onward = self.field.cost_at(x, y)
        if not math.isfinite(onward):
            onward = self._entry_cost_m + _LACK_COST * max(self.open_m - self.field.space.clearance_at(x, y), 0.0)
        return count + onward / STEP_M

    @cached_property
    def _entry_cost_m(self) -> float:
        entry = self.field.entry(*self.world.base[:2])
        return 0.0 if entry is None else float(self.field.cost_m[entry])

    def _touches(self, pose: BasePose, move: MoveBase | RotateBase) -> bool:
        current, self.world.base = self.world.base, pose
        try:
            return self.world.first_contact(swept(pose, move)) is not None
        finally:
            self.world.base = current


def _actions_to(came: Mapping[int, tuple[int, str]], node: int) -> list[str]:
    actions = []
    while node:
        node, name = came[node]
        actions.append(name)
    return actions[::-1]


def _key(pose: BasePose) -> tuple[int, int, int]:
    x, y, yaw = pose
    return round(x / _NEAR_M), round(y / _NEAR_M), round(yaw / _NEAR_RAD) % 60
