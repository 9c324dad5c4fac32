"""From a command to the ways that an arm's joints and its gripper take; refused by name where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robots.chunk import POSE
from robots.command import Chunk, Command, JointTarget, MoveJoint, SetGripper
from robots.embodiment import Embodiment, Workspace
from robots.errors import RobotError
from robots.kinematics import Kinematics, rotation_of
from robots.limits import GRIPPER_JOINT, JUMP, TOLERANCE
from robots.trajectory import F64, Trajectory, reach, through


class Refusal(RobotError):
    """Why a command is not carried out; nothing was sent."""


@dataclass(frozen=True)
class Plan:
    """What the arm's joints [rad] and the gripper's aperture [m] do; None: nothing."""

    arm: Trajectory | None = None
    gripper: Trajectory | None = None

    @property
    def duration_s(self) -> float:
        """When both have ended."""
        return max((way.duration_s for way in (self.arm, self.gripper) if way), default=0.0)


class Planner:
    """Plans for `body`, whose arm's joints are `joints`; without `kinematics` only in joint space."""

    def __init__(self, body: Embodiment, joints: tuple[str, ...], kinematics: Kinematics | None) -> None:
        self._body, self._joints, self._kinematics = body, joints, kinematics
        self._speeds = [body.joints[name].max_speed for name in joints]

    def plan(self, command: Command, here: Mapping[str, float]) -> Plan:
        """The plan for a `command` that is within the body's limits, from rest at `here`; Refusal says why not."""
        if isinstance(command, MoveJoint):
            return self._reach({command.joint: here[command.joint] + command.delta}, here, 0.0)
        if isinstance(command, SetGripper):
            return self._reach({GRIPPER_JOINT: command.aperture_m}, here, 0.0)
        if isinstance(command, JointTarget):
            return self._reach(dict(zip(command.joints, command.positions)), here, command.duration_s)
        if isinstance(command, Chunk) and command.names[: len(POSE)] == POSE:
            return self._follow_poses(command, here)
        if isinstance(command, Chunk):
            return self._follow(command, here)
        return Plan()

    def _reach(self, targets: Mapping[str, float], here: Mapping[str, float], least_s: float) -> Plan:
        arm = gripper = None
        if any(name in targets for name in self._joints):
            row = [targets.get(name, here[name]) for name in self._joints]
            self._check_places([row], here)
            arm = reach(self._start(here), row, self._speeds, least_s)
        if GRIPPER_JOINT in targets:
            speed = self._body.joints[GRIPPER_JOINT].max_speed
            gripper = reach([here[GRIPPER_JOINT]], [targets[GRIPPER_JOINT]], [speed], least_s)
        return Plan(arm, gripper)

    def _follow(self, chunk: Chunk, here: Mapping[str, float]) -> Plan:
        columns = [chunk.names.index(name) for name in self._joints]
        rows = [[row[column] for column in columns] for row in chunk.rows]
        self._check_places(rows, here)
        gripper = None
        if GRIPPER_JOINT in chunk.names:
            column = chunk.names.index(GRIPPER_JOINT)
            gripper = self._follow_apertures([row[column] for row in chunk.rows], here, chunk.period_s)
        return Plan(through(self._start(here), rows, chunk.period_s, self._speeds), gripper)

    def _follow_poses(self, chunk: Chunk, here: Mapping[str, float]) -> Plan:
        if self._kinematics is None:
            raise Refusal("no kinematics: this body was made without Cartesian control")
        rows = self._joint_rows(chunk, here)
        self._check_places(rows, here)
        widest = self._body.joints[GRIPPER_JOINT].high
        gripper = self._follow_apertures([row[-1] * widest for row in chunk.rows], here, chunk.period_s)
        return Plan(through(self._start(here), rows, chunk.period_s, self._speeds), gripper)

    def _joint_rows(self, chunk: Chunk, here: Mapping[str, float]) -> list[F64]:
        assert self._kinematics is not None  # the caller looked
        rows = [np.array(self._start(here))]
        places = self._poses(chunk, *self._kinematics.forward(rows[0]))
        for number, (position, _) in enumerate(places):
            self._check_box(position, number)
        for number, (position, rotation) in enumerate(places):
            try:
                rows.append(self._kinematics.inverse(position, rotation, rows[-1], self._body.joints))
            except RobotError as error:
                raise Refusal(f"row {number}: {error}") from error
            self._check_jump(rows[-2], rows[-1], number, chunk.period_s)
        return rows[1:]

    def _poses(self, chunk: Chunk, position: F64, rotation: F64) -> list[tuple[F64, F64]]:
        """Each row's increment on top of the pose that the row before it asked for."""
        places = []
        for row in chunk.rows:
            position, rotation = position + np.array(row[:3]), rotation_of(row[3:6]) @ rotation
            places.append((position, rotation))
        return places

    def _check_jump(self, before: F64, after: F64, number: int, period_s: float) -> None:
        """An arm near a singularity turns joints far for a small way of its fingertips."""
        fast = np.abs(after - before) / period_s / np.array(self._speeds)
        if fast.max() > JUMP:
            joint = self._joints[int(fast.argmax())]
            raise Refusal(f"jump: row {number} needs {joint} at {fast.max():.1f} times its top speed")

    def _follow_apertures(self, apertures: Sequence[float], here: Mapping[str, float], period_s: float) -> Trajectory:
        """As fast towards each row's aperture as the gripper is, and on to the last one."""
        speed = self._body.joints[GRIPPER_JOINT].max_speed
        most, rows = speed * period_s, [here[GRIPPER_JOINT]]
        wanted = list(apertures)
        while wanted or abs(rows[-1] - apertures[-1]) > TOLERANCE:
            target = wanted.pop(0) if wanted else apertures[-1]
            rows.append(rows[-1] + min(max(target - rows[-1], -most), most))
        return through(rows[:1], [[row] for row in rows[1:]], period_s, [speed])

    def _start(self, here: Mapping[str, float]) -> list[float]:
        return [here[name] for name in self._joints]

    def _check_places(self, rows: Sequence[Sequence[float] | F64], here: Mapping[str, float]) -> None:
        """The fingertips stay in the workspace; where they are outside already, they come no further out."""
        if self._kinematics is None or self._body.workspace is None:
            return
        out_m = outside(self._kinematics.forward(self._start(here))[0], self._body.workspace)
        for number, row in enumerate(rows):
            self._check_box(self._kinematics.forward(row)[0], number, out_m)

    def _check_box(self, position: F64, number: int, allowed_m: float = 0.0) -> None:
        box = self._body.workspace
        if box is not None and outside(position, box) > allowed_m + 1e-3:
            place = ", ".join(f"{one:.3f}" for one in position)
            raise Refusal(f"out of workspace: row {number} is at ({place}) m, expected {box.low} to {box.high}")


def outside(position: F64, box: Workspace) -> float:
    """How far a point is outside of a box [m]; 0 inside."""
    over = np.maximum(np.array(box.low) - position, position - np.array(box.high))
    return float(np.linalg.norm(np.maximum(over, 0.0)))
