"""What an arm does for a command: the path its joints take, or why they take none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robots.chunk_player import Path, through, towards
from robots.command import Chunk, Command, JointTarget, MoveJoint, SetGripper
from robots.embodiment import Embodiment, Workspace
from robots.kinematics import Kinematics, Unreachable, rotation_of
from robots.limits import GRIPPER_JOINT, JUMP

F64 = npt.NDArray[np.float64]

CHECK_EVERY_M = 0.01
"""A path is looked at where the fastest joint moved so far [rad] or [m]: the tip is never 1 cm between two looks."""


SLACK_M = 1e-4
"""An arm that stands outside its workspace may come back, or stay: it is refused what leads further out than this."""


class Refused(Exception):
    """The command cannot be carried out; nothing was sent. The message begins with a stable name."""


@dataclass(frozen=True)
class ArmPlanner:
    """Makes paths for one arm with a gripper.

    Attributes:
        body: whose limits, speeds and workspace hold; its joints are those of the chain and the gripper.
        kinematics: of its chain.
        acceleration: of its joints [rad/s^2].
    """

    body: Embodiment
    kinematics: Kinematics
    acceleration: float

    def plan(self, command: Command, here: Mapping[str, float]) -> Path:
        """The path from `here` (joint name -> position) for a `command` that is within the limits already.

        Raises:
            Refused: "unreachable: ...", "jump: ..." or "out of workspace: ...".
        """
        start = {name: here[name] for name in self.body.joints}
        if isinstance(command, Chunk):
            path = through(list(start.values()), self._rows(command, start), command.period_s)
        else:
            least_s = command.duration_s if isinstance(command, JointTarget) else 0.0
            path = towards(start, targets(command, start), self.body.joints, self.acceleration, least_s)
        self._check_workspace(path)
        return path

    def tip(self, positions: F64) -> F64:
        """Where the fingertips are for joints in the body's order, (3,) [m]."""
        return self.kinematics.forward(self._chain(positions))[0]

    def _rows(self, chunk: Chunk, start: Mapping[str, float]) -> list[list[float]]:
        if not all(name in self.body.joints for name in chunk.names):
            return self._cartesian_rows(chunk, start)
        return [list({**start, **dict(zip(chunk.names, row))}.values()) for row in chunk.rows]

    def _cartesian_rows(self, chunk: Chunk, start: Mapping[str, float]) -> list[list[float]]:
        """Joint rows for increments of the tip's pose in the base frame and the gripper's share."""
        q = np.array([start[name] for name in self.kinematics.joints])
        places = self._places(chunk, q)
        rows, opening = [], self.body.joints[GRIPPER_JOINT].high
        for number, (row, (position, rotation)) in enumerate(zip(chunk.rows, places)):
            before, q = q, self._solve(number, position, rotation, q)
            self._check_speed(number, q - before, chunk.period_s)
            joints = {**dict(zip(self.kinematics.joints, q.tolist())), GRIPPER_JOINT: opening * row[6]}
            rows.append([joints[name] for name in start])
        return self._paced(rows, start, chunk.period_s)

    def _places(self, chunk: Chunk, q: F64) -> list[tuple[F64, F64]]:
        """Position and rotation of the tip that each row asks for; all of them inside the workspace."""
        position, rotation = self.kinematics.forward(q)
        box = self.body.workspace
        begun = outside(position, box) if box else 0.0
        places = []
        for row in chunk.rows:
            position, rotation = position + np.array(row[:3]), rotation_of(row[3:6]) @ rotation
            if box and outside(position, box) > begun + SLACK_M:
                raise Refused(f"out of workspace: the fingertips at {_text(position)} m, expected {_range(box)}")
            places.append((position, rotation))
        return places

    def _solve(self, number: int, position: F64, rotation: F64, q: F64) -> F64:
        try:
            return self.kinematics.inverse(position, rotation, q, self.body.joints)
        except Unreachable as error:
            raise Refused(f"{error} (row {number})") from error

    def _check_speed(self, number: int, step: F64, period_s: float) -> None:
        for name, delta in zip(self.kinematics.joints, step):
            speed, most = abs(delta) / period_s, self.body.joints[name].max_speed
            if speed > most * JUMP:
                raise Refused(f"jump: row {number} needs {name} at {speed:.2f} rad/s, expected at most {most:.2f}")

    def _paced(self, rows: list[list[float]], start: Mapping[str, float], period_s: float) -> list[list[float]]:
        """The same rows with a gripper that is asked to open or close at once doing so at its own speed."""
        column = list(start).index(GRIPPER_JOINT)
        reach, aperture = self.body.joints[GRIPPER_JOINT].max_speed * period_s, start[GRIPPER_JOINT]
        for row in rows:
            aperture += min(max(row[column] - aperture, -reach), reach)
            row[column] = aperture
        return rows

    def _check_workspace(self, path: Path) -> None:
        box = self.body.workspace
        if box is None:
            return
        begun = outside(self.tip(path.rows[0]), box)
        for before, after in zip(path.rows[:-1], path.rows[1:]):
            count = max(1, int(np.abs(after - before).max() / CHECK_EVERY_M))
            for k in range(1, count + 1):
                tip = self.tip(before + (after - before) * k / count)
                if outside(tip, box) > begun + SLACK_M:
                    raise Refused(f"out of workspace: the fingertips at {_text(tip)} m, expected {_range(box)}")

    def _chain(self, positions: F64) -> F64:
        by_name = dict(zip(self.body.joints, positions))
        return np.array([by_name[name] for name in self.kinematics.joints])


def targets(command: Command, here: Mapping[str, float]) -> dict[str, float]:
    """Where `command` sends each joint that it names: joint -> position; empty for a command that moves none."""
    if isinstance(command, MoveJoint):
        return {command.joint: here[command.joint] + command.delta}
    if isinstance(command, SetGripper):
        return {GRIPPER_JOINT: command.aperture_m}
    if isinstance(command, JointTarget):
        return dict(zip(command.joints, command.positions))
    return {}


def moves_gripper(command: Command) -> bool:
    """Whether `command` says anything of the gripper; otherwise it is left alone."""
    if isinstance(command, MoveJoint):
        return command.joint == GRIPPER_JOINT
    if isinstance(command, JointTarget):
        return GRIPPER_JOINT in command.joints
    return isinstance(command, (SetGripper, Chunk))


def outside(point: F64, box: Workspace) -> float:
    """How far `point` (3,) lies outside the box [m]; 0 inside."""
    gaps = np.maximum(np.array(box.low) - point, point - np.array(box.high))
    return float(np.linalg.norm(np.maximum(gaps, 0.0)))


def _text(point: F64) -> str:
    return "(" + ", ".join(f"{one:.3f}" for one in point) + ")"


def _range(box: Workspace) -> str:
    return f"{tuple(box.low)} to {tuple(box.high)}"
