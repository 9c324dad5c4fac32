"""Options of the suite: permitted motions, and the robot's accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Options:
    """Motions, tolerances and times of the checks. The defaults suit real hardware; an exact fake needs less time.

    Attributes:
        checks: names of the checks to run; all when empty.
        skip: names of checks to leave out.
        spared: joints that are never moved.
        exclusive: the robot is real hardware, which a second driver must be refused.
        base_step_m: distance that the base is driven, and back; never beyond the robot's longest step.
        base_step_rad: how far it is turned, and back.
        joint_step: how far a joint is moved, and back [m] or [rad].
        long_step: how far a joint may be moved where a long motion is needed, and to a limit [m] or [rad].
        chunk_rows: rows of a chunk.
        chunk_period_s: time of a row.
        base_tolerance_m: by how much a base may miss.
        base_tolerance_rad: by how much a turn may miss.
        joint_tolerance: by how much a joint may miss [m] or [rad].
        tolerances: the same for single joints, by name.
        tip_tolerance_m: by how much the point between the fingertips may miss.
        still_m: apparent motion of a base at rest between two measurements.
        still_rad: apparent turn of a base at rest.
        still_joint: apparent motion of a joint at rest [m] or [rad].
        lag_s: maximum age of the robot's feedback.
        pose_period_s: update period of `pose`.
        settle_s: duration of the check for rest after `execute` returned.
        stop_s: from `stop()` until the robot begins to slow down.
        health_s: how long `health()` may take; it is asked 40 times a second.
        observe_s: how long `observe()` may take, and how old an observation may be.
        connect_s: how long `connect()` and `disconnect()` may take.
        motion_s: how long one command may take.
        tip: where the point between the fingertips is in the base frame [m], from the joint positions by name; the
            driver's own kinematics are not used. None: a Cartesian chunk is checked by its return only.
    """

    checks: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    exclusive: bool = False
    base_step_m: float = 0.1
    base_step_rad: float = 0.25
    joint_step: float = 0.06
    long_step: float = 0.3
    chunk_rows: int = 8
    chunk_period_s: float = 0.1
    base_tolerance_m: float = 0.03
    base_tolerance_rad: float = 0.05
    joint_tolerance: float = 0.015
    tolerances: Mapping[str, float] = field(default_factory=dict)
    tip_tolerance_m: float = 0.01
    still_m: float = 0.005
    still_rad: float = 0.01
    still_joint: float = 0.005
    lag_s: float = 0.05
    pose_period_s: float = 0.05
    settle_s: float = 0.3
    stop_s: float = 0.4
    health_s: float = 0.025
    observe_s: float = 2.0
    connect_s: float = 60.0
    motion_s: float = 30.0
    tip: Callable[[Mapping[str, float]], Point] | None = None

    def tolerance(self, joint: str) -> float:
        """By how much `joint` may miss [m] or [rad]."""
        return self.tolerances.get(joint, self.joint_tolerance)
