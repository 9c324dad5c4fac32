"""A shortest-path expert for ObjectNav that looks at the simulator's truth. Policies are cloned from what it says.

It follows the geodesic field to a place from which the target can be seen, faces it and says `done`. After a bump it backs
out, turns away and plans again, so that a clone learns to do the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robots.command import Command, MoveBase, RotateBase
from robots.robot import Sent
from robots.stretch_re1 import ACTIONS, STEP_M
from simulation.episode import EpisodeSpec
from simulation.escape import Escape
from simulation.navigation import DISC_M, Cell, Field, Point
from simulation.object_nav import cached_goals, cached_space, goals_for, visible_points
from simulation.twin import StretchTwin, TwinOptions
from simulation.world import wrapped

DONE_M = 1.7
"""`done` is said when a point of the target is seen this near: 0.3 m inside the rule, so that a clone has a margin."""

DONE_BEARING_RAD = math.radians(24.0)
TURN_M = 0.34
"""With this clearance the robot can turn on the spot: its collision boxes reach 0.334 m from the point between the wheels."""

_TURN_RAD = math.radians(18.0)
_SMALL_TURN_RAD = math.radians(7.0)
_LOOKAHEAD = 40
_SURE_M = 0.45  # with this clearance no motion can touch anything: 0.334 m of robot and half a cell diagonal


class ObjectNavExpert:
    """Says what to do next in the twin's present state: the same state and history always give the same answer."""

    def __init__(self, twin: StretchTwin) -> None:
        self.twin = twin
        self._episode: EpisodeSpec | None = None
        self._field: Field
        self._instance: np.ndarray

    def action(self) -> str:
        """Name of the policy action to take now."""
        self._plan()
        if self._is_done():
            return "done"
        return self._recovery() or self._step()

    def _plan(self) -> None:
        episode = self.twin.episode
        if self._episode is episode:
            return
        self._episode = episode
        goals, self._field = cached_goals(episode.house_seed, episode.target)
        self._goal_cost, self._instance = goals.cost_m.copy(), goals.instance

    def _is_done(self) -> bool:
        points = visible_points(self.twin.world, self.twin.episode.target, DONE_M)
        return any(abs(self._bearing(point)) <= DONE_BEARING_RAD for point in points)

    def _bearing(self, point: Sequence[float]) -> float:
        x, y, yaw = self.twin.pose
        return wrapped(math.atan2(point[1] - y, point[0] - x) - yaw)

    def _step(self) -> str:
        x, y, _ = self.twin.pose
        if self._field.space.clearance_at(x, y) < TURN_M:
            return self._escape()
        cell = self._field.space.cell(x, y)
        if self._field.is_goal[cell]:
            turn = self._turn(self._bearing(self._facing(cell)))
            if turn is None:
                self._drop_goals(cell)
            return turn or self._step()
        waypoint = self._waypoint()
        if waypoint is None:
            return self._escape()
        return self._turn(self._bearing(waypoint)) or ("move_ahead" if self._can("move_ahead") else self._escape())

    def _escape(self) -> str:
        """The first action of a search that knows the robot's true shape, for where a disc does not do."""
        here = self._field.cost_at(*self.twin.pose[:2])
        better = here - 0.15 if math.isfinite(here) else math.inf

        def onward(x: float, y: float) -> float:
            cost = self._field.cost_at(x, y)
            return cost / STEP_M if cost < better else math.inf

        space, world = self._field.space, self.twin.world
        anywhere = Escape(world, space, TURN_M, lambda x, y: self._field.cost_at(x, y) / STEP_M)
        found = Escape(world, space, TURN_M, onward, 60).first_action() or anywhere.first_action()
        if found is not None:
            return found
        return "move_back" if self._can("move_back") else self._freer_side()

    def _facing(self, cell: Cell) -> Sequence[float]:
        things = self.twin.house.objects_of(self.twin.episode.target)
        return things[int(self._instance[cell])].position_m

    def _drop_goals(self, cell: Cell) -> None:
        """The target is not seen from a place that faces it: plan for other places."""
        i, j = cell
        self._goal_cost[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] = np.inf
        self._field = self._field.space.field(self._goal_cost)

    def _turn(self, error_rad: float) -> str | None:
        """The turn that makes a heading error [rad] smaller, None when it is small enough."""
        if abs(error_rad) <= _SMALL_TURN_RAD:
            return None
        side = "left" if error_rad > 0 else "right"
        return f"rotate_{side}" if abs(error_rad) > _TURN_RAD else f"rotate_{side}_small"

    def _waypoint(self) -> Point | None:
        """The farthest point down the field that can be reached straight on, with as much room as the field has."""
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
        """A point one cell on the way: where the robot stands may be tighter than the plan likes."""
        x, y, _ = self.twin.pose
        share = min(1.0, 0.12 / max(math.dist((x, y), point), 1e-6))
        return x + share * (point[0] - x), y + share * (point[1] - y)

    def _can(self, action: str) -> bool:
        """Whether the motion would touch nothing."""
        x, y, _ = self.twin.pose
        command = ACTIONS[action]
        reach = abs(command.distance_m) if isinstance(command, MoveBase) else 0.0
        if self._field.space.clearance_at(x, y) > _SURE_M + reach:
            return True
        return self.twin.would_touch(command) is None

    def _freer_side(self) -> str:
        """The turn of 30 degrees whose next half metre has more room; the field breaks a tie."""
        x, y, yaw = self.twin.pose
        room = {}
        for turn, sign in (("rotate_left", 1), ("rotate_right", -1)):
            a = yaw + sign * math.radians(60.0)
            point = (x + 0.5 * math.cos(a), y + 0.5 * math.sin(a))
            room[turn] = round(self._field.space.least_clearance((x, y), point), 1), -self._field.cost_at(*point)
        return max(room, key=lambda turn: room[turn])

    def _recovery(self) -> str | None:
        """After a bump ahead: back, turn away, go on; None when nothing is to be recovered from."""
        last = self.twin.history[-3:]
        if last and _bumped_ahead(last[-1]):
            return "move_back" if self._can("move_back") else self._escape()
        if len(last) > 1 and _bumped_ahead(last[-2]) and _is_back(last[-1].command) and last[-1].executed:
            return self._away()
        if len(last) > 2 and _bumped_ahead(last[-3]) and _is_back(last[-2].command) and _is_turn(last[-1]):
            return "move_ahead" if self._can("move_ahead") and self._opens() else None
        return None

    def _away(self) -> str:
        """A turn of 30 degrees, towards the plan where that is not straight at the obstacle again."""
        waypoint = self._waypoint()
        error = 0.0 if waypoint is None else self._bearing(waypoint)
        turn = "rotate_left" if error > 0 else "rotate_right"
        if abs(error) <= _TURN_RAD:
            turn = self._freer_side()
        return turn if self._can(turn) else self._escape()

    def _opens(self) -> bool:
        """Whether the way ahead costs little against the plan."""
        x, y, yaw = self.twin.pose
        after = self._field.cost_at(x + 0.2 * math.cos(yaw), y + 0.2 * math.sin(yaw))
        return after <= self._field.cost_at(x, y) + 0.1


def _bumped_ahead(sent: Sent) -> bool:
    return isinstance(sent.command, MoveBase) and sent.command.distance_m > 0 and bool(sent.blocked)


def _is_back(command: Command) -> bool:
    return isinstance(command, MoveBase) and command.distance_m < 0


def _is_turn(sent: Sent) -> bool:
    return isinstance(sent.command, RotateBase) and sent.executed


def measure_expert(episode: EpisodeSpec) -> EpisodeSpec:
    """The episode with `expert_steps` filled in by a run of the expert without noise; None where the expert fails."""
    twin = StretchTwin(TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0))
    expert = ObjectNavExpert(twin)
    with twin:
        twin.reset(episode)
        for step in range(1, episode.max_steps + 1):
            action = expert.action()
            if action == "done":
                return episode.with_expert_steps(step if twin.success() else None)
            twin.execute(ACTIONS[action])
    return episode.with_expert_steps(None)
