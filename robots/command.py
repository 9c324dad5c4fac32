"""Commands to a robot. SI units; yaw counter-clockwise positive (REP-103)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from robots.errors import SpecError


@dataclass(frozen=True)
class MoveBase:
    """Drive straight by `distance_m` along the base's x axis; negative drives backwards."""

    distance_m: float


@dataclass(frozen=True)
class RotateBase:
    """Turn in place by `angle_rad`, counter-clockwise positive."""

    angle_rad: float


@dataclass(frozen=True)
class MoveJoint:
    """Move one joint by `delta` from its current position: metres for a prismatic joint, radians for a revolute one."""

    joint: str
    delta: float


@dataclass(frozen=True)
class SetGripper:
    """Open or close the gripper to `aperture_m` between the fingertips."""

    aperture_m: float


@dataclass(frozen=True)
class JointTarget:
    """Move `joints` to absolute `positions` (m or rad) within `duration_s`. Same length."""

    joints: tuple[str, ...]
    positions: tuple[float, ...]
    duration_s: float = 0.0


@dataclass(frozen=True)
class Chunk:
    """Follow `rows`, one every `period_s`, the first one a period from now; between rows the robot interpolates.

    `names` are the columns of a row, and equal those of one of the robot's `chunks`: joint positions, or
    increments of the gripper's pose (`robots.arms.action_chunks.CARTESIAN_DELTA`).

    With `joins` the next such chunk may be joined on to this one while it runs. Its result comes when it has begun or
    was joined, and its rows count from its observation: row k is due k periods after that. A robot that cannot join
    takes it as any other chunk.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    period_s: float
    joins: bool = False


@dataclass(frozen=True)
class LookAt:
    """Point the head: absolute pan (counter-clockwise positive) and tilt (up positive)."""

    pan_rad: float
    tilt_rad: float


@dataclass(frozen=True)
class Grasp:
    """Close on the object at the gripper, by the robot's own grasping routine."""


@dataclass(frozen=True)
class Release:
    """Open the gripper and release the held object."""


@dataclass(frozen=True)
class Stop:
    """Stop moving now, with the robot's own stop semantics."""


@dataclass(frozen=True)
class Done:
    """End of the episode (with `subgoal`: of a part of it), as decided by the policy. Nothing moves."""

    subgoal: bool = False


Command = MoveBase | RotateBase | MoveJoint | SetGripper | JointTarget | Chunk | LookAt | Grasp | Release | Stop | Done
COMMANDS: dict[str, type[Command]] = {
    kind.__name__: kind
    for kind in (MoveBase, RotateBase, MoveJoint, SetGripper, JointTarget, Chunk, LookAt, Grasp, Release, Stop, Done)
}


def check_finite(command: Command) -> None:
    """Raises SpecError when a number in `command` is NaN or infinite."""
    for field in fields(command):
        for number in _flat(getattr(command, field.name)):
            if isinstance(number, float) and not math.isfinite(number):
                raise SpecError(f"{type(command).__name__}.{field.name}", number, "a finite number")


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def command_to_json(command: Command) -> dict[str, Any]:
    """Plain JSON values, e.g. {"kind": "MoveBase", "distance_m": 0.2}."""
    return {"kind": type(command).__name__, **asdict(command)}


def command_from_json(data: dict[str, Any]) -> Command:
    """Inverse of `command_to_json`; SpecError on an unknown kind or field."""
    values: dict[str, Any] = {name: _tuples(value) for name, value in data.items()}
    kind = values.pop("kind", None)
    if kind not in COMMANDS:
        raise SpecError("command kind", repr(kind), f"one of {', '.join(COMMANDS)}")
    try:
        return COMMANDS[kind](**values)
    except TypeError as error:
        raise SpecError(f"{kind} fields", sorted(values), [f.name for f in fields(COMMANDS[kind])]) from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
