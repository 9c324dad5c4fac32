"""The expert for PickUp and Fetch: drives to a place from which the arm reaches the object, and takes it.

At the place it turns until the object is on the arm's line, raises the lift to the object's height, unfolds the wrist,
extends the arm, grasps, lifts a little and says `done`. It uses the 20 actions of SPOC only.
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
"""The arm's line is near enough to the object within half a small turn, and a little so that it never dithers."""

_WRIST_TO_HAND_M = 0.205
_SMALL_M = 0.55 * SMALL_ARM_STEP_M
_LARGE_M = ARM_STEP_M - _SMALL_M  # a large step goes no farther than small ones would
_TURN_RAD = math.radians(18.0)
_PATIENCE = 6  # blocked motions of the arm before another place is tried
_NEAR_M, _OTHER_PLACE_M = 0.6, 0.25
_TRIES_M = ((0.0, 0.0), (0.0, 0.02), (-0.02, 0.02), (0.02, 0.02))
"""What is added to height and way at each try, one after another, while the object slips out of the gripper."""


class PickUpExpert(PathFollower):
    """Says what to do next in the twin's present state: the same state and history always give the same answer."""

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin)
        self._goal_cost: Floats
        self._given_up: list[Point] = []

    def action(self) -> str:
        """Name of the policy action to take now."""
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
        """The arm is hindered here: plan for other places, or for all of them again when there are no others."""
        space, (x, y, _) = self._field.space, self.twin.pose
        self._given_up.append((x, y))
        i, j = space.cell(x, y)
        self._goal_cost[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] = np.inf
        if not np.isfinite(self._goal_cost).any():
            self._history = None  # start again with every place
            return
        self.follow(space.field(self._goal_cost))

    def _arrived(self, cell: Cell) -> str | None:
        """There is no room to turn where it arrived: a way out is also a way to more room."""
        return None

    def _with_object(self) -> str:
        if not is_held(self.twin.house, self.twin.held, self.twin.episode.target):
            return "dropoff"
        return "move_arm_up" if isinstance(self.twin.history[-1].command, Grasp) else "done"

    def _thing_here(self) -> HouseObject | None:
        """What can be taken from where the robot is, once it has turned; None when it has to drive."""
        x, y, _ = self.twin.pose
        if self._field.cost_at(x, y) > _NEAR_M or self._field.space.clearance_at(x, y) < TURN_M:
            return None
        if any(math.dist((x, y), place) < _OTHER_PLACE_M for place in self._given_up):
            return None
        things = self.twin.house.objects_of(self.twin.episode.target)
        return next((thing for thing in things if self._can_take(thing, x, y)), None)

    def _can_take(self, thing: HouseObject, x: float, y: float) -> bool:
        return bool(Reach(self.twin.house, thing).can_from(np.array([x]), np.array([y]))[0])

    def _way_to(self, thing: HouseObject) -> float:
        x, y, _ = self.twin.pose
        return float(Reach(self.twin.house, thing).way_m(np.array([x]), np.array([y]))[0])

    def _take(self, thing: HouseObject) -> str:
        """The next action at the place; each step waits for the one before it."""
        if self._hindered() and Hand(self.twin.world).nearest() == thing:
            return "pickup"
        joints = self.twin.world.joints
        up, on = (0.0, 0.0) if thing.is_on_floor else _TRIES_M[self._tries()]
        lift = min(Reach(self.twin.house, thing).lift_m + up + SMALL_ARM_STEP_M * self._hindered(), LIFT_M)
        way = self._way_to(thing) + on - HAND_RIGHT_M
        raised = _stepped("move_arm_up", "move_arm_down", max(lift, 0.0) - joints["joint_lift"])
        return (
            self._line_up(thing)
            or (raised if raised and "up" in raised else None)
            or _wrist(joints["joint_wrist_yaw"], 0.0)
            or raised
            or _stepped("move_arm_out", "move_arm_in", min(max(way, 0.0), ARM_M) - joints["joint_arm"])
            or "pickup"
        )

    def _line_up(self, thing: HouseObject) -> str | None:
        """A turn that brings the arm's line nearer to the object, with the arm in; None when it is on it."""
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
        """Brings arm and wrist back in before the base drives."""
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
        """Grasps in vain so far."""
        return sum(isinstance(sent.command, Grasp) and not sent.executed for sent in self.twin.history)


def _stepped(more: str, less: str, error_m: float) -> str | None:
    """The step that makes an error smaller, None when it is small enough."""
    if abs(error_m) <= _SMALL_M:
        return None
    return (more if error_m > 0 else less) + ("" if abs(error_m) > _LARGE_M else "_small")


def _wrist(now_rad: float, wanted_rad: float) -> str | None:
    if abs(now_rad - wanted_rad) <= WRIST_STEP_RAD / 2:
        return None
    return "wrist_open" if now_rad < wanted_rad else "wrist_close"
