"""Measured positions and motions of a robot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from robots.command import Command
from robots.robot import Sent

Pose = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """Measured position of a robot.

    Attributes:
        stamp_ns: when it was sensed, on the monotonic clock.
        joints: joint name -> [m] or [rad], from the state of an observation.
        pose: of the base, x [m], y [m], yaw [rad]; None without a base.
    """

    stamp_ns: int
    joints: Mapping[str, float]
    pose: Pose | None


@dataclass(frozen=True)
class Move:
    """Measured effect of a command.

    Attributes:
        asked: the command.
        sent: outcome as the robot reports it.
        before: position before it.
        returned: where it was when `execute` had returned.
        after: where it was a while later.
        began_ns: when `execute` was called, on the monotonic clock.
        ended_ns: when it returned.
    """

    asked: Command
    sent: Sent
    before: Place
    returned: Place
    after: Place
    began_ns: int
    ended_ns: int

    @property
    def duration_s(self) -> float:
        """Duration of `execute`."""
        return (self.ended_ns - self.began_ns) / 1e9


def base_way(start: Pose | None, end: Pose | None) -> Pose:
    """From `start` to `end`, seen from `start`: forward [m], left [m], turn [rad]; zeros without a base."""
    if start is None or end is None:
        return 0.0, 0.0, 0.0
    dx, dy, yaw = end[0] - start[0], end[1] - start[1], start[2]
    forward, left = dx * math.cos(yaw) + dy * math.sin(yaw), dy * math.cos(yaw) - dx * math.sin(yaw)
    return forward, left, math.remainder(end[2] - yaw, math.tau)
