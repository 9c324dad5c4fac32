"""Holds a command to a robot's limits before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from robots.command import (
    Chunk,
    Command,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    check_finite,
)
from robots.embodiment import Embodiment
from robots.errors import SpecError
from robots.robot import Sent
from robots.spec import OVERSHOOT

GRIPPER_JOINT = "gripper_aperture"
HEAD_JOINTS = ("joint_head_pan", "joint_head_tilt")
TOLERANCE = 1e-6  # a target this far past a limit [m or rad] is the limit: float32 positions are rounded

JUMP = 1.05  # a row may exceed the top speed by this factor: rows and measured positions are rounded


def limit(command: Command, body: Embodiment, positions: Mapping[str, float]) -> Sent:
    """Applies the limits of `body`, whose joints are at `positions` (joint name -> m or rad), to `command`.

    Refused with a reason: a number that is not finite, a joint or base that the robot lacks, a base step beyond the
    longest one, and a chunk with a jump that the joints cannot follow. A joint target beyond its range is clipped to
    it. Nothing is sent here.
    """
    try:
        check_finite(command)
    except SpecError as error:
        return Sent(command, refused=str(error))
    if isinstance(command, (MoveBase, RotateBase)):
        return _limit_base(command, body)
    if isinstance(command, MoveJoint):
        return _limit_joint(command, body, positions)
    if isinstance(command, JointTarget):
        return _limit_target(command, body)
    if isinstance(command, Chunk):
        return _limit_chunk(command, body, positions)
    if isinstance(command, LookAt):
        asked = JointTarget(HEAD_JOINTS, (command.pan_rad, command.tilt_rad))
        sent = _limit_target(asked, body)
        if sent.refused or not isinstance(sent.command, JointTarget):
            return Sent(command, refused=sent.refused)
        return Sent(LookAt(*sent.command.positions), sent.clipped)
    if isinstance(command, SetGripper):
        asked = JointTarget((GRIPPER_JOINT,), (command.aperture_m,))
        sent = _limit_target(asked, body)
        if sent.refused or not isinstance(sent.command, JointTarget):
            return Sent(command, refused=sent.refused)
        return Sent(SetGripper(*sent.command.positions), sent.clipped)
    if isinstance(command, (Grasp, Release)) and command not in body.actions.values():
        return Sent(command, refused=f"{body.name} cannot {type(command).__name__.lower()}")
    return Sent(command)


def _limit_base(command: MoveBase | RotateBase, body: Embodiment) -> Sent:
    if body.base is None:
        return Sent(command, refused=f"{body.name} has no base")
    if isinstance(command, MoveBase):
        size, most, unit = abs(command.distance_m), body.base.max_step_m, "m"
    else:
        size, most, unit = abs(command.angle_rad), body.base.max_step_rad, "rad"
    if size > most + TOLERANCE:
        return Sent(command, refused=f"base step of {size:.3f} {unit} is beyond the longest step of {most:.3f} {unit}")
    return Sent(command)


def _limit_joint(command: MoveJoint, body: Embodiment, positions: Mapping[str, float]) -> Sent:
    if command.joint not in body.joints or command.joint not in positions:
        return Sent(command, refused=f"{body.name} has no joint '{command.joint}'; it has {', '.join(body.joints)}")
    current, limits = positions[command.joint], body.joints[command.joint]
    if not math.isfinite(current):
        return Sent(command, refused=f"{body.name} does not report the position of {command.joint}: got {current}")
    if limits.max_step is not None and abs(command.delta) > limits.max_step + TOLERANCE:
        longest = f"beyond the longest of {limits.max_step:.3f}"
        return Sent(command, refused=f"step of {command.delta:.3f} of {command.joint} is {longest}")
    target = min(max(current + command.delta, limits.low), limits.high)
    if math.isclose(target - current, command.delta, abs_tol=TOLERANCE):
        return Sent(command)
    return Sent(replace(command, delta=target - current), clipped=(command.joint,))


def _limit_target(command: JointTarget, body: Embodiment) -> Sent:
    if not command.joints:
        return Sent(command, refused="a joint target without joints")
    if len(command.joints) != len(command.positions):
        return Sent(command, refused=f"{len(command.joints)} joints but {len(command.positions)} positions")
    unknown = [joint for joint in command.joints if joint not in body.joints]
    if unknown:
        return Sent(command, refused=f"{body.name} has no joint '{unknown[0]}'; it has {', '.join(body.joints)}")
    limits = [body.joints[joint] for joint in command.joints]
    positions = tuple(min(max(p, joint.low), joint.high) for p, joint in zip(command.positions, limits))
    clipped = tuple(
        joint for joint, asked, p in zip(command.joints, command.positions, positions) if abs(asked - p) > TOLERANCE
    )
    return Sent(replace(command, positions=positions), clipped)


def _limit_chunk(command: Chunk, body: Embodiment, positions: Mapping[str, float]) -> Sent:
    vector = next((chunk for chunk in body.chunks if chunk.names == command.names), None)
    if vector is None:
        known = "; ".join(", ".join(chunk.names) for chunk in body.chunks) or "none"
        return Sent(command, refused=f"{body.name} takes no chunk of {', '.join(command.names)}; it takes: {known}")
    if not command.rows or command.period_s <= 0 or any(len(row) != len(vector) for row in command.rows):
        got = f"{len(command.rows)} rows of {sorted({len(row) for row in command.rows})} every {command.period_s} s"
        return Sent(command, refused=f"chunk of {got}, expected rows of {len(vector)} and a period above 0 s")
    if all(name in body.joints for name in command.names):
        return _limit_joint_rows(command, body, positions)
    for number, row in enumerate(command.rows):
        for name, value, low, high in zip(vector.names, row, vector.low, vector.high):
            slack = OVERSHOOT * (high - low) + TOLERANCE
            if not low - slack <= value <= high + slack:
                return Sent(command, refused=f"jump: row {number} of {name} is {value:.4f}, beyond [{low}, {high}]")
    return _clipped_rows(command, list(zip(vector.low, vector.high)))


def _clipped_rows(command: Chunk, bounds: Sequence[tuple[float, float]]) -> Sent:
    """Returns the chunk with every value within its bounds, and the names of those that were not."""
    rows = tuple(tuple(min(max(v, low), high) for v, (low, high) in zip(row, bounds)) for row in command.rows)
    clipped = tuple(
        name
        for column, name in enumerate(command.names)
        if any(abs(asked[column] - row[column]) > TOLERANCE for asked, row in zip(command.rows, rows))
    )
    return Sent(replace(command, rows=rows), clipped)


def _limit_joint_rows(command: Chunk, body: Embodiment, positions: Mapping[str, float]) -> Sent:
    limits = [body.joints[name] for name in command.names]
    if missing := [name for name in command.names if not math.isfinite(positions.get(name, math.nan))]:
        got = positions.get(missing[0], "nothing")
        return Sent(command, refused=f"{body.name} does not report the position of {missing[0]}: got {got}")
    sent = _clipped_rows(command, [(joint.low, joint.high) for joint in limits])
    assert isinstance(sent.command, Chunk)
    before = tuple(positions[name] for name in command.names)
    for number, row in enumerate(sent.command.rows):
        for name, previous, target, joint in zip(command.names, before, row, limits):
            reach = joint.max_speed * command.period_s
            if abs(target - previous) > reach * JUMP + TOLERANCE:
                moves = f"row {number} moves {name} by {target - previous:.4f} in {command.period_s} s"
                return Sent(command, refused=f"jump: {moves}, expected at most {reach:.4f}")
        before = row
    return sent
