"""The shortest sequence of actions out of a tight place: best-first search over base poses with real contact."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from robots.command import MoveBase, RotateBase
from robots.stretch_re1 import ACTIONS, STEP_M
from simulation.navigation import FreeSpace
from simulation.world import BasePose, World, straight, turning

MOVES: Mapping[str, MoveBase | RotateBase] = {
    name: command for name, command in ACTIONS.items() if isinstance(command, MoveBase | RotateBase)
}
"""Actions that move the base."""

_NEAR_M, _NEAR_RAD = 0.05, math.radians(6.0)


def swept(pose: BasePose, move: MoveBase | RotateBase) -> list[BasePose]:
    """The poses that a move without noise goes through."""
    return straight(pose, move.distance_m) if isinstance(move, MoveBase) else turning(pose, move.angle_rad)


@dataclass(frozen=True)
class Escape:
    """A search from where the robot is.

    Attributes:
        world: asked for contact; left as it was.
        space: its clearance says how far from the open a pose is at least, since clearance grows by at most a metre a metre.
        open_m: clearance of a pose that ends the search.
        good: what else must hold there, and what it costs to go on from it [actions].
        most: poses to look at before giving up.
    """

    world: World
    space: FreeSpace
    open_m: float
    good: Callable[[float, float], float]
    most: int = 300

    def first_action(self) -> str | None:
        """The first action of the shortest way out, None where none was found."""
        start = self.world.base
        queue: list[tuple[float, int, int, BasePose, str]] = [(0.0, 0, 0, start, "")]
        seen, order = {_key(start)}, 0
        for _ in range(self.most):
            if not queue:
                return None
            _, _, count, pose, first = heapq.heappop(queue)
            if first and self._lack(pose) <= 0.0 and math.isfinite(self.good(*pose[:2])):
                return first
            for name, move in MOVES.items():
                end = swept(pose, move)[-1]
                if _key(end) in seen or self._touches(pose, move):
                    continue
                seen.add(_key(end))
                order += 1
                heapq.heappush(queue, (self._estimate(count + 1, end), order, count + 1, end, first or name))
        return None

    def _estimate(self, count: int, pose: BasePose) -> float:
        onward = self.good(*pose[:2])
        return count + max(self._lack(pose), 0.0) / STEP_M + (onward if math.isfinite(onward) else 0.0)

    def _lack(self, pose: BasePose) -> float:
        return self.open_m - self.space.clearance_at(*pose[:2])

    def _touches(self, pose: BasePose, move: MoveBase | RotateBase) -> bool:
        here, self.world.base = self.world.base, pose
        try:
            return self.world.first_contact(swept(pose, move)) is not None
        finally:
            self.world.base = here


def _key(pose: BasePose) -> tuple[int, int, int]:
    x, y, yaw = pose
    return round(x / _NEAR_M), round(y / _NEAR_M), round(yaw / _NEAR_RAD) % 60
