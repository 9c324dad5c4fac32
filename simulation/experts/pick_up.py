"""Expert for PickUp and Fetch: drives to a place from which the arm reaches the object, and grasps it.

At the place it turns until the object is on the arm's line, raises the lift to the object's height, unfolds the wrist,
extends the arm, grasps, lifts a little and ends with `done`. It uses the 20 actions of SPOC only.
"""

from __future__ import annotations

import math

import numpy as np

from robots.command import Grasp, MoveBase, MoveJoint, RotateBase
from robots.embodiments.stretch_re1 import ARM_STEP_M, SMALL_ARM_STEP_M, SMALL_TURN_RAD, WRIST_STEP_RAD
from simulation.experts.path_follower import TURN_M, PathFollower
from simulation.houses.house import HouseObject
from simulation.navigation.arm_reach import ARM_M, HAND_FORWARD_M, HAND_RIGHT_M, LIFT_M, Reach, cached_reach
from simulation.navigation.costmap import Cell, Floats, Point
from simulation.robot_models.stretch import STOWED
from simulation.tasks.pick_up import is_held
from simulation.twins.grasp_sphere import Hand
from simulation.twins.house_twin import Twin
from simulation.twins.world import wrapped

ON_LINE_RAD = SMALL_TURN_RAD / 2 + math.radians(0.4)
"""Tolerance of the arm's line to the object: half a small turn, plus a margin against oscillation."""

_WRIST_TO_HAND_M = 0.205
_SMALL_M = 0.55 * SMALL_ARM_STEP_M
_LARGE_M = ARM_STEP_M - _SMALL_M  # error above which a large step is better than small ones
_TURN_RAD = math.radians(18.0)
_PATIENCE = 6  # blocked motions of the arm before another place is tried
_NEAR_M, _OTHER_PLACE_M = 0.6, 0.25
_TRIES_M = ((0.0, 0.0), (0.0, 0.02), (-0.02, 0.02), (0.02, 0.02))
"""Offsets of height and distance at successive attempts, while the object slips out of the gripper."""


class PickUpExpert(PathFollower):
    """Chooses the next action; a function of the twin's state and history alone."""

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin)
        self._goal_cost: Floats
        self._given_up: list[Point] = []

    def action(self) -> str:
        """Returns the name of the policy action to take now."""
        self._plan()
        if self.twin.held is not None:
            return self._with_object()
        if self._tries() >= len(_TRIES_M):
            return "done"
        thing = self._thing_here()
        if thing is not None and self._hindered() <= _PATIENCE:
            return self._take(thing)
        if thing is not None:
            self._give_up_place()
        return self._fold() or self.drive()

    def _plan(self) -> None:
        if not self._is_new():
            return
        episode = self.twin.episode
        goals, field = cached_reach(episode.house_seed, episode.target)
        self._goal_cost, self._given_up = goals.cost_m.copy(), []
        self.follow(field)

    def _give_up_place(self) -> None:
        """Drops a place where the arm is blocked and plans for the others, or for all again when none is left."""
        space, (x, y, _) = self._field.space, self.twin.pose
        self._given_up.append((x, y))
        i, j = space.cell(x, y)
        self._goal_cost[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] = np.inf
        if not np.isfinite(self._goal_cost).any():
            self._history = None  # start again with every place
            return
        self.follow(space.field(self._goal_cost))

    def _arrived(self, cell: Cell) -> str | None:
        """Returns None: there is no room to turn at this goal, and the recovery leads to more clearance."""
        return None

    def _with_object(self) -> str:
        if not is_held(self.twin.house, self.twin.held, self.twin.episode.target):
            return "dropoff"
        return "move_arm_up" if isinstance(self.twin.history[-1].command, Grasp) else "done"

    def _thing_here(self) -> HouseObject | None:
        """Returns an object that can be grasped from here after a turn; None when the robot has to drive."""
        x, y, _ = self.twin.pose
        if self._field.cost_at(x, y) > _NEAR_M or self._field.space.clearance_at(x, y) < TURN_M:
            return None
        if any(math.dist((x, y), place) < _OTHER_PLACE_M for place in self._given_up):
            return None
        things = self.twin.house.objects_of(self.twin.episode.target)
        return next((thing for thing in things if self._can_take(thing, x, y)), None)

    def _can_take(self, thing: HouseObject, x: float, y: float) -> bool:
        return bool(Reach(self.twin.house, thing).can_from(np.array([x]), np.array([y]))[0])

    def _distance_to(self, thing: HouseObject) -> float:
        x, y, _ = self.twin.pose
        return float(Reach(self.twin.house, thing).distance_m(np.array([x]), np.array([y]))[0])

    def _take(self, thing: HouseObject) -> str:
        """Returns the next action of the grasp; each step waits for the one before it."""
        if self._hindered() and Hand(self.twin.world).nearest() == thing:
            return "pickup"
        joints = self.twin.world.joints
        up, on = (0.0, 0.0) if thing.is_on_floor else _TRIES_M[self._tries()]
        lift = min(Reach(self.twin.house, thing).lift_m + up + SMALL_ARM_STEP_M * self._hindered(), LIFT_M)
        distance = self._distance_to(thing) + on - HAND_RIGHT_M
        raised = _stepped("move_arm_up", "move_arm_down", max(lift, 0.0) - joints["joint_lift"])
        return (
            self._line_up(thing)
            or (raised if raised and "up" in raised else None)
            or _wrist(joints["joint_wrist_yaw"], 0.0)
            or raised
            or _stepped("move_arm_out", "move_arm_in", min(max(distance, 0.0), ARM_M) - joints["joint_arm"])
            or "pickup"
        )

    def _line_up(self, thing: HouseObject) -> str | None:
        """Returns a turn of the arm's line towards the object, with the arm retracted; None when it is aligned."""
        wrist = self.twin.world.joints["joint_wrist_yaw"]
        ahead = HAND_FORWARD_M + _WRIST_TO_HAND_M * math.sin(wrist - WRIST_STEP_RAD * round(wrist / WRIST_STEP_RAD))
        away = math.dist(self.twin.pose[:2], thing.position_m[:2])
        error = wrapped(self._bearing(thing.position_m) + math.pi / 2 - math.asin(ahead / away))
        if abs(error) <= ON_LINE_RAD:
            return None
        if self.twin.world.joints["joint_arm"] > _SMALL_M:
            return _stepped("move_arm_out", "move_arm_in", -self.twin.world.joints["joint_arm"])
        turn = ("rotate_left" if error > 0 else "rotate_right") + ("" if abs(error) > _TURN_RAD else "_small")
        return turn if self._can(turn) else self._recover()

    def _fold(self) -> str | None:
        """Retracts arm and wrist before the base drives."""
        joints = self.twin.world.joints
        inwards = _stepped("move_arm_out", "move_arm_in", -joints["joint_arm"])
        return inwards or _wrist(joints["joint_wrist_yaw"], STOWED["joint_wrist_yaw"])

    def _hindered(self) -> int:
        """Blocked motions of the arm since the base last moved."""
        count = 0
        for sent in reversed(self.twin.history):
            if isinstance(sent.command, MoveBase | RotateBase):
                break
            count += isinstance(sent.command, MoveJoint) and bool(sent.blocked)
        return count

    def _tries(self) -> int:
        """Failed grasps so far."""
        return sum(isinstance(sent.command, Grasp) and not sent.executed for sent in self.twin.history)


def _stepped(more: str, less: str, error_m: float) -> str | None:
    """Returns the step that reduces an error, None when it is small enough."""
    if abs(error_m) <= _SMALL_M:
        return None
    return (more if error_m > 0 else less) + ("" if abs(error_m) > _LARGE_M else "_small")


def _wrist(now_rad: float, wanted_rad: float) -> str | None:
    if abs(now_rad - wanted_rad) <= WRIST_STEP_RAD / 2:
        return None
    return "wrist_open" if now_rad < wanted_rad else "wrist_close"
