"""Follows a geodesic distance field with collision checks; the base of all tasks' experts.

After a collision it backs out, turns away and plans again, so that a clone learns to do the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from robots.command import Command, MoveBase, RotateBase
from robots.robot import Sent
from simulation.experts.recovery_search import RecoverySearch, base_moves
from simulation.navigation.costmap import DISC_M, Cell, Field, Floats, Point
from simulation.twins.house_twin import Twin
from simulation.twins.world import wrapped

TURN_M = 0.34
"""With this clearance the robot can turn on the spot: its collision boxes reach 0.334 m from between its wheels."""

_TURN_RAD = math.radians(18.0)
_SMALL_TURN_RAD, _TIGHT_TURN_RAD = math.radians(7.0), math.radians(4.0)
_LOOKAHEAD = 40
_PROGRESS_M = 0.15
_SURE_M = 0.45  # with this clearance no motion can touch anything: 0.334 m of robot and half a cell diagonal


class PathFollower:
    """Chooses the next action towards a goal; a function of the twin's state and history alone.

    A subclass sets the field with `follow`, and what to do at a goal with `_arrived`.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self._moves = base_moves(twin.spec.actions)
        self._history: list[Sent] | None = None
        self._field: Field
        self._recovery_plan: list[str] = []
        self._planned_at = 0

    def follow(self, field: Field) -> None:
        """Sets the field whose goals to drive to."""
        self._field = field

    def drive(self) -> str:
        """Returns the name of the policy action that leads on to a goal."""
        return self._after_bump() or self._step()

    def _is_new(self) -> bool:
        """Returns whether the twin began another episode since the last call."""
        if self._history is self.twin.history:
            return False
        self._history, self._recovery_plan = self.twin.history, []
        return True

    def _arrived(self, cell: Cell) -> str | None:
        """Returns the action at a goal; None where nothing can be done there, which starts a recovery."""
        raise NotImplementedError

    def _bearing(self, point: Sequence[float] | Floats) -> float:
        x, y, yaw = self.twin.pose
        return wrapped(math.atan2(point[1] - y, point[0] - x) - yaw)

    def _step(self) -> str:
        action = self._next_of_plan()
        if action is not None:
            return action
        tight = self._field.space.clearance_at(*self.twin.pose[:2]) < TURN_M
        action = None if tight else self._planned()
        return action if action is not None and self._can(action) else self._recover()

    def _planned(self) -> str | None:
        """Returns a disc-shaped robot's action: act at a goal, else follow the field; None where there is no path."""
        x, y, _ = self.twin.pose
        cell = self._field.space.cell(x, y)
        if self._field.is_goal[cell]:
            return self._arrived(cell)
        waypoint = self._waypoint()
        return None if waypoint is None else self._turn(self._bearing(waypoint)) or "move_ahead"

    def _recover(self) -> str:
        """Plans a recovery with the robot's true shape, where a disc is too coarse, and returns its first action."""
        cost_m = self._field.cost_at(*self.twin.pose[:2])
        below_m = cost_m - _PROGRESS_M if math.isfinite(cost_m) else math.inf
        self._recovery_plan = RecoverySearch(self.twin.world, self._field, TURN_M, below_m, self._moves).plan()
        self._planned_at = len(self.twin.history)
        if self._recovery_plan:
            return self._recovery_plan[0]
        return "move_back" if self._can("move_back") else self._freer_side()

    def _next_of_plan(self) -> str | None:
        """Returns the next action of a recovery in progress, as long as every action so far was executed as planned."""
        done = self.twin.history[self._planned_at :]
        if len(done) >= len(self._recovery_plan) or any(
            not sent.executed or sent.command != self._moves[action]
            for sent, action in zip(done, self._recovery_plan, strict=False)
        ):
            return None
        action = self._recovery_plan[len(done)]
        return action if self._can(action) else None

    def _turn(self, error_rad: float) -> str | None:
        """Returns the turn that reduces a heading error [rad], None when it is small enough."""
        x, y, _ = self.twin.pose
        roomy = self._field.space.clearance_at(x, y) > _SURE_M
        if abs(error_rad) <= (_SMALL_TURN_RAD if roomy else _TIGHT_TURN_RAD):
            return None
        turn = "rotate_left" if error_rad > 0 else "rotate_right"
        if abs(error_rad) > _TURN_RAD:
            return turn
        small = f"{turn}_small"  # on the LoCoBot the camera takes this action's slot; the large turn has to do
        return small if small in self._moves else None

    def _waypoint(self) -> Point | None:
        """Returns the farthest point down the field in a straight line with as much clearance as the field has."""
        space = self._field.space
        x, y, _ = self.twin.pose
        entry = self._field.entry(x, y)
        if entry is None:
            return None
        cells = self._field.descent(entry, _LOOKAHEAD)
        best, room = space.point(cells[min(1, len(cells) - 1)]), math.inf
        for cell in cells[1:]:
            room = min(room, float(space.clearance_m[cell]))
            point = space.point(cell)
            if math.dist((x, y), point) < 0.15:
                best = point
                continue
            if space.least_clearance(self._clear_of_start(point), point) >= min(DISC_M, room):
                best = point
        return best

    def _clear_of_start(self, point: Point) -> Point:
        """Returns a point one cell towards `point`: clearance at the robot itself may be below the plan's."""
        x, y, _ = self.twin.pose
        fraction = min(1.0, 0.12 / max(math.dist((x, y), point), 1e-6))
        return x + fraction * (point[0] - x), y + fraction * (point[1] - y)

    def _can(self, action: str) -> bool:
        """Returns whether the motion is free of collisions."""
        move = self._moves.get(action)
        if move is None:
            return True
        reach = abs(move.distance_m) if isinstance(move, MoveBase) else 0.0
        if self._field.space.clearance_at(*self.twin.pose[:2]) > _SURE_M + reach:
            return True
        return self.twin.would_touch(move) is None

    def _freer_side(self) -> str:
        """Returns the turn of 30 degrees whose next half metre has more clearance; the field breaks a tie."""
        x, y, yaw = self.twin.pose
        room = {}
        for turn, sign in (("rotate_left", 1), ("rotate_right", -1)):
            a = yaw + sign * math.radians(60.0)
            point = (x + 0.5 * math.cos(a), y + 0.5 * math.sin(a))
            room[turn] = round(self._field.space.least_clearance((x, y), point), 1), -self._field.cost_at(*point)
        return max(room, key=lambda turn: room[turn])

    def _after_bump(self) -> str | None:
        """After a collision ahead: back out, turn away, go on; None without one in the last three commands."""
        last = self.twin.history[-3:]
        if last and _bumped_ahead(last[-1]):
            return "move_back" if self._can("move_back") else self._recover()
        if len(last) > 1 and _bumped_ahead(last[-2]) and _is_back(last[-1].command) and last[-1].executed:
            return self._away()
        if len(last) > 2 and _bumped_ahead(last[-3]) and _is_back(last[-2].command) and _is_turn(last[-1]):
            return "move_ahead" if self._can("move_ahead") and self._opens() else None
        return None

    def _away(self) -> str:
        """Returns a turn of 30 degrees, towards the plan where that does not face the obstacle again."""
        waypoint = self._waypoint()
        error = 0.0 if waypoint is None else self._bearing(waypoint)
        turn = "rotate_left" if error > 0 else "rotate_right"
        if abs(error) <= _TURN_RAD:
            turn = self._freer_side()
        return turn if self._can(turn) else self._recover()

    def _opens(self) -> bool:
        """Returns whether driving ahead costs little against the plan."""
        x, y, yaw = self.twin.pose
        after = self._field.cost_at(x + 0.2 * math.cos(yaw), y + 0.2 * math.sin(yaw))
        return after <= self._field.cost_at(x, y) + 0.1


def _bumped_ahead(sent: Sent) -> bool:
    return isinstance(sent.command, MoveBase) and sent.command.distance_m > 0 and bool(sent.blocked)


def _is_back(command: Command) -> bool:
    return isinstance(command, MoveBase) and command.distance_m < 0


def _is_turn(sent: Sent) -> bool:
    return isinstance(sent.command, RotateBase) and sent.executed
