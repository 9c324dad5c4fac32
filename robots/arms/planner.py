"""What an arm and its gripper do for a command: the ways they take, or why they take none.

One planner for every arm and every kind of motion. What it hands out keeps the fingertips in the workspace all the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robots.arms.action_chunks import POSE
from robots.arms.kinematics import Kinematics, Unreachable, rotation_of
from robots.arms.trajectory import F64, Row, Trajectory, through, towards
from robots.command import Chunk, Command, JointTarget, MoveJoint, SetGripper
from robots.embodiment import Embodiment, Workspace
from robots.limits import GRIPPER_JOINT, JUMP, TOLERANCE

CHECK_EVERY_M = 0.01
"""The tip is nowhere further than this from where it was looked at; that way bends by 0.1 mm at most."""

SLACK_M = 1e-4
"""An arm that stands outside its workspace may come back, or stay: it is refused what leads further out than this."""

CUT_RAD, LEAST_LEAD_S = 0.01, 0.05
"""An arm that is behind may cut a corner by so much, and has so long at least to catch up with any other part."""

GRIPPER_RAMP_S = 0.1
"""Fingers are at their top speed after this."""


class Refused(Exception):
    """The command cannot be carried out; nothing was sent. The message begins with a stable name."""


@dataclass(frozen=True)
class Plan:
    """What the arm's joints (k,) and the gripper's aperture (1,) [m] do; None: they stay as they are."""

    arm: Trajectory | None = None
    gripper: Trajectory | None = None

    @property
    def duration_s(self) -> float:
        """When both have ended."""
        return max((way.duration_s for way in (self.arm, self.gripper) if way), default=0.0)

    def row(self, begun: F64, elapsed_s: float) -> F64:
        """Joints and aperture (k + 1,) at a time; what does not move stays where it has `begun`."""
        arm = self.arm.at(elapsed_s) if self.arm else begun[:-1]
        return np.array([*arm, self.gripper.at(elapsed_s)[0] if self.gripper else begun[-1]])


class ArmPlanner:
    """Plans for one arm, with or without a gripper.

    Args:
        body: whose limits, speeds and workspace hold.
        joints: names of the chain's joints, in the order of a row.
        kinematics: of the chain; None: only in joint space, and without a workspace.
        acceleration: of the joints [rad/s^2].
    """

    def __init__(
        self, body: Embodiment, joints: tuple[str, ...], kinematics: Kinematics | None, acceleration: float
    ) -> None:
        self.body, self.joints, self.kinematics, self.acceleration = body, joints, kinematics, acceleration
        limits = [body.joints[name] for name in joints]
        self._low, self._high = (np.array([getattr(one, end) for one in limits]) for end in ("low", "high"))
        self._speeds = np.array([one.max_speed for one in limits])

    def plan(self, command: Command, here: Mapping[str, float]) -> Plan:
        """The plan from rest at `here` (joint name -> position) for a `command` that is within the limits already.

        Raises:
            Refused: "unreachable: ...", "jump: ..." or "out of workspace: ...".
        """
        if isinstance(command, Chunk):
            plan = self._follow(command, here)
        else:
            least_s = command.duration_s if isinstance(command, JointTarget) else 0.0
            plan = self._reach(targets(command, here), here, least_s)
        if plan.arm and (way := self.strays(plan.arm)):
            raise Refused(way)
        return plan

    def tip(self, positions: Row) -> F64:
        """Where the fingertips are for the chain's joints (k,), (3,) [m]."""
        assert self.kinematics is not None  # the caller has a workspace
        return self.kinematics.forward(positions)[0]

    def strays(self, arm: Trajectory) -> str:
        """Where `arm` takes the fingertips out of the workspace, or further out than they are; empty when nowhere.

        A tip moves no further than its joints turn times the arm's length: from well inside, the next look is far on.
        """
        box = self.body.workspace
        if box is None or self.kinematics is None:
            return ""
        length = self.kinematics.length_m
        rows = arm.dense(CHECK_EVERY_M / length)
        travel = np.append(0.0, length * np.cumsum(np.abs(np.diff(rows, axis=0)).sum(axis=1)))
        allowed, index = self._allowed(self.tip(rows[0]), box), 0
        while index < len(rows):
            tip = self.tip(rows[index])
            if outside(tip, box) > allowed:
                return f"out of workspace: the fingertips at {_text(tip)} m, expected {_range(box)}"
            if index == len(rows) - 1:
                break
            beyond = int(np.searchsorted(travel, travel[index] + _room(tip, box), side="right")) - 1
            index = min(max(index + 1, beyond), len(rows) - 1)
        return ""

    def part(self, arm: Trajectory, begin_s: float, length_s: float, lead_s: float, decel: float) -> Trajectory:
        """What is sent next of a long way, see `Trajectory.window`; no faster and nowhere else than the way itself.

        Catching up with it cuts corners: the lead is shorter where these are sharp.
        """
        decels = [decel] * len(self.joints)
        while lead_s > 0.0 and arm.cut(begin_s, lead_s) > CUT_RAD:
            lead_s = lead_s / 2 if lead_s > LEAST_LEAD_S else 0.0
        window = arm.window(begin_s, length_s, lead_s, decels)
        if self.strays(window):
            window = arm.window(begin_s, length_s, 0.0, decels)
        return window.slower(max(1.0, float((window.peaks() / self._speeds).max())))

    def _allowed(self, tip: F64, box: Workspace) -> float:
        begun = outside(tip, box)
        return begun + SLACK_M if begun > 0.0 else 0.0

    def _reach(self, wanted: Mapping[str, float], here: Mapping[str, float], least_s: float) -> Plan:
        arm = gripper = None
        if any(name in wanted for name in self.joints):
            row = self._inside([wanted.get(name, here[name]) for name in self.joints])
            arm = towards(self._start(here), row, self._speeds, self.acceleration, least_s)
        if GRIPPER_JOINT in wanted:
            speed, begun = self.body.joints[GRIPPER_JOINT].max_speed, here[GRIPPER_JOINT]
            gripper = towards([begun], [wanted[GRIPPER_JOINT]], [speed], speed / GRIPPER_RAMP_S, least_s)
        return Plan(arm, gripper)

    def _follow(self, chunk: Chunk, here: Mapping[str, float]) -> Plan:
        if chunk.names[: len(POSE)] == POSE:
            rows, apertures = self._pose_rows(chunk, here), self._apertures(chunk)
        else:
            columns = [chunk.names.index(name) for name in self.joints]
            rows = [self._inside([row[column] for column in columns]) for row in chunk.rows]
            column = chunk.names.index(GRIPPER_JOINT) if GRIPPER_JOINT in chunk.names else -1
            apertures = [row[column] for row in chunk.rows] if column >= 0 else []
        gripper = self._paced(apertures, here, chunk.period_s) if apertures else None
        return Plan(through(self._start(here), rows, chunk.period_s, self._speeds), gripper)

    def _pose_rows(self, chunk: Chunk, here: Mapping[str, float]) -> list[F64]:
        """Joint rows for increments of the tip's pose in the base frame."""
        if self.kinematics is None:
            raise Refused("no kinematics: this body was made without Cartesian control")
        rows = [self._start(here)]
        for number, (position, rotation) in enumerate(self._poses(chunk, *self.kinematics.forward(rows[0]))):
            try:
                rows.append(self.kinematics.inverse(position, rotation, rows[-1], self.body.joints))
            except Unreachable as error:
                raise Refused(f"{error} (row {number})") from error
            self._check_speed(number, rows[-1] - rows[-2], chunk.period_s)
        return rows[1:]

    def _poses(self, chunk: Chunk, position: F64, rotation: F64) -> list[tuple[F64, F64]]:
        """The pose that each row asks for, on top of the row's before it; all of them inside the workspace."""
        box, poses = self.body.workspace, []
        allowed = self._allowed(position, box) if box else 0.0
        for row in chunk.rows:
            position, rotation = position + np.array(row[:3]), rotation_of(row[3:6]) @ rotation
            if box and outside(position, box) > allowed:
                raise Refused(f"out of workspace: the fingertips at {_text(position)} m, expected {_range(box)}")
            poses.append((position, rotation))
        return poses

    def _apertures(self, chunk: Chunk) -> list[float]:
        widest = self.body.joints[GRIPPER_JOINT].high
        return [row[len(POSE)] * widest for row in chunk.rows]

    def _check_speed(self, number: int, step: F64, period_s: float) -> None:
        """An arm near a singularity turns joints far for a small way of its fingertips."""
        for name, delta, most in zip(self.joints, step, self._speeds):
            if abs(delta) / period_s > most * JUMP:
                asked = f"row {number} needs {name} at {abs(delta) / period_s:.2f} rad/s"
                raise Refused(f"jump: {asked}, expected at most {most:.2f}")

    def _paced(self, apertures: Sequence[float], here: Mapping[str, float], period_s: float) -> Trajectory:
        """As fast towards each row's aperture as the fingers are, and on to the last one."""
        speed = self.body.joints[GRIPPER_JOINT].max_speed
        most, rows, wanted = speed * period_s, [here[GRIPPER_JOINT]], list(apertures)
        while wanted or abs(rows[-1] - apertures[-1]) > TOLERANCE:
            target = wanted.pop(0) if wanted else apertures[-1]
            rows.append(rows[-1] + min(max(target - rows[-1], -most), most))
        return through(rows[:1], [[row] for row in rows[1:]], period_s, [speed])

    def _start(self, here: Mapping[str, float]) -> F64:
        return np.array([here[name] for name in self.joints])

    def _inside(self, row: Row) -> F64:
        """A joint that was measured a little beyond its range is sent to its end."""
        return np.clip(row, self._low, self._high)


def targets(command: Command, here: Mapping[str, float]) -> dict[str, float]:
    """Where `command` sends each joint that it names: joint -> position; empty for a command that moves none."""
    if isinstance(command, MoveJoint):
        return {command.joint: here[command.joint] + command.delta}
    if isinstance(command, SetGripper):
        return {GRIPPER_JOINT: command.aperture_m}
    if isinstance(command, JointTarget):
        return dict(zip(command.joints, command.positions))
    return {}


def outside(point: F64, box: Workspace) -> float:
    """How far `point` (3,) lies outside the box [m]; 0 inside."""
    gaps = np.maximum(np.array(box.low) - point, point - np.array(box.high))
    return float(np.linalg.norm(np.maximum(gaps, 0.0)))


def _room(point: F64, box: Workspace) -> float:
    """How far `point` may go in any direction before it leaves the box [m]; below 0 outside."""
    return float(min((point - np.array(box.low)).min(), (np.array(box.high) - point).min()))


def _text(point: F64) -> str:
    return "(" + ", ".join(f"{one:.3f}" for one in point) + ")"


def _range(box: Workspace) -> str:
    return f"{tuple(box.low)} to {tuple(box.high)}"
