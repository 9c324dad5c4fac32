"""Waypoints of the hand, and the actions that lead to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulation.libero.operational_space import MOVE_M, TURN_RAD, rotation
from simulation.libero.world import Floats, LiberoWorld

GAIN = 2.0
"""Of an action over the way that is left: the controller lags behind its goal."""

STILL_RAD = 0.02
"""A turn that is smaller is left out, and the controller keeps its goal."""

NEUTRAL = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The hand as it begins: it points down, and its fingers open along world y."""

UP = np.array([0.0, 0.0, 1.0])
"""World frame."""

OPEN, CLOSED = -1.0, 1.0
"""The finger entry of an action."""

STUCK_M, STUCK_ACTIONS = 0.002, 5
"""A hand that moves less in each of so many actions has met something."""


def never(world: LiberoWorld) -> bool:
    """Leaves a waypoint to its limit."""
    return False


@dataclass(frozen=True)
class Waypoint:
    """Where the hand goes next.

    Attributes:
        name: e.g. "close".
        place: the point (3,) to be at, asked before each action [m].
        rotation: (3, 3) of the hand, world frame.
        fingers: `OPEN` or `CLOSED`.
        reached: whether the next waypoint is due; asked before each action.
        limit: actions after which it is due anyhow.
        ends_stuck: whether it is due once the hand is stuck.
        fails: whether there is no use in going on; asked before each action.
    """

    name: str
    place: Callable[[LiberoWorld], Floats]
    rotation: Floats
    fingers: float
    reached: Callable[[LiberoWorld], bool]
    limit: int
    ends_stuck: bool = False
    fails: Callable[[LiberoWorld], bool] = never


class Course:
    """Follows waypoints one after another."""

    def __init__(self, waypoints: list[Waypoint]) -> None:
        self._waypoints = waypoints
        self._age = self._still = 0
        self._last = np.full(3, np.inf)

    @property
    def name(self) -> str:
        """Of the present waypoint; empty after the last one."""
        return self._waypoints[0].name if self._waypoints else ""

    def action(self, world: LiberoWorld) -> Floats | None:
        """The action (7,) to take now; None after the last waypoint, and once one has failed."""
        while self._waypoints and self._is_due(world, self._waypoints[0]):
            self._waypoints = self._waypoints[1:]
            self._age = self._still = 0
        if not self._waypoints or self._waypoints[0].fails(world):
            return None
        now = self._waypoints[0]
        moved = float(np.linalg.norm(world.hand_m - self._last))
        self._still = self._still + 1 if moved < STUCK_M else 0
        self._last = world.hand_m
        self._age += 1
        return action_towards(world, now.place(world), now.rotation, now.fingers)

    def _is_due(self, world: LiberoWorld, waypoint: Waypoint) -> bool:
        stuck = waypoint.ends_stuck and self._still >= STUCK_ACTIONS
        return self._age >= waypoint.limit or stuck or waypoint.reached(world)


def action_towards(world: LiberoWorld, place: Floats, turn: Floats, fingers: float) -> Floats:
    """The action (7,) that brings the hand nearer to a point (3,) and a rotation (3, 3)."""
    move = np.clip(GAIN * (place - world.hand_m) / MOVE_M, -1.0, 1.0)
    error = turned_by(turn @ world.hand_rotation.T)
    spin = np.clip(GAIN * error / TURN_RAD, -1.0, 1.0) if np.linalg.norm(error) > STILL_RAD else np.zeros(3)
    return np.concatenate([move, spin, [fingers]])


def turned_by(matrix: Floats) -> Floats:
    """The rotation vector (3,) [rad] of a rotation matrix (3, 3)."""
    cosine = np.clip((np.trace(matrix) - 1.0) / 2.0, -1.0, 1.0)
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    length = float(np.linalg.norm(axis))
    if length < 1e-9:
        return np.zeros(3)
    vector: Floats = axis * (float(np.arccos(cosine)) / length)
    return vector


def downwards(yaw: float) -> Floats:
    """The rotation (3, 3) of a hand that points down; at 0 its fingers open along world y."""
    turned: Floats = rotation(np.array([0.0, 0.0, yaw])) @ NEUTRAL
    return turned


def tilted(direction: Floats, angle_rad: float) -> Floats:
    """The rotation (3, 3) of a hand that points down, then tilted to point along -`direction`, horizontal (3,)."""
    yaw = float(np.arctan2(-direction[0], direction[1]))
    if abs(yaw) > np.pi / 2:  # its fingers open along the direction either way
        yaw -= np.sign(yaw) * np.pi
    axis = np.cross([0.0, 0.0, -1.0], -direction)
    turned: Floats = rotation(axis * angle_rad) @ downwards(yaw)
    return turned
