"""Checks of commands that carry a whole chunk of continuous actions."""

from __future__ import annotations

import math

from robots.arms.action_chunks import GRIPPER, POSE
from robots.command import Chunk, Command
from robots.conformance.judge import arrived, at_rest, refused, supported
from robots.conformance.place import Move, Place
from robots.conformance.steps import home, joint_delta
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.limits import GRIPPER_JOINT
from robots.spec import VectorSpec

Row = tuple[float, ...]
GENTLE = 0.4
"""Share of what a row may ask for."""
TIP_MPS = 0.05
"""Speed of the fingertips, which an arm can follow with slow joints too."""
SLOW_ROW_S = 0.5
"""Time of a row that a robot at any speed can follow."""
LATE_S = 1.0
"""Time by which a chunk may exceed its rows."""


def joint_chunks_arrive(subject: Subject) -> None:
    """A chunk of joint positions ends at its last row, not before its time, and the robot is at rest."""
    vector, start = _joint_vector(subject), subject.place()
    there = joint_chunk(subject, vector, start)
    home_row = tuple(start.joints[name] for name in vector.names)
    back = Chunk(vector.names, (*reversed(there.rows[:-1]), home_row), there.period_s)
    for chunk in (there, back):
        move = subject.move(chunk)
        arrived(move, subject.options)
        _kept_its_rate(move, chunk)
        at_rest(move, subject.options)


def cartesian_chunks_arrive(subject: Subject) -> None:
    """A chunk of increments moves the fingertips by their sum, and its opposite brings the joints back."""
    vector, start = _cartesian_vector(subject), subject.place()
    there = cartesian_chunk(subject, vector, start)
    move = subject.move(there)
    _executed(move)
    distance = max(abs(move.after.joints[joint] - start.joints[joint]) for joint in start.joints)
    expect(
        distance > subject.options.still_joint, f"joints after {_short(there)}", f"moved by {distance:.4f}", "a motion"
    )
    _kept_its_rate(move, there)
    _tip_moved(subject, move, there)
    opposite = Chunk(vector.names, tuple(tuple(-v for v in row[:6]) + row[6:] for row in there.rows), there.period_s)
    again = subject.move(opposite)
    home(subject, start)
    _executed(again)
    for joint, was in start.joints.items():
        off, here = 2 * subject.options.tolerance(joint), again.after.joints[joint]
        expect(abs(here - was) <= off, f"{joint} after there and back", f"{here:.4f}", f"{was:.4f} +- {off:g}")
    at_rest(again, subject.options)


def chunks_of_unknown_names_are_refused(subject: Subject) -> None:
    """A chunk whose names are none of the robot's, or whose rows do not fit them, is refused."""
    refused(subject, Chunk(("thing_that_no_body_has",), ((0.0,),), 0.1))
    for vector in subject.spec.chunks:
        refused(subject, Chunk(vector.names, (), 0.1))
        refused(subject, Chunk(vector.names, ((0.0,) * (len(vector) + 1),), 0.1))
        refused(subject, Chunk(vector.names, ((0.0,) * len(vector),), 0.0))


def chunks_with_a_jump_are_refused(subject: Subject) -> None:
    """A chunk with a row that the robot cannot follow is refused as a whole, before its first row."""
    if not subject.spec.chunks:
        raise NotApplicable(f"{subject.spec.name} takes no chunks")
    start = subject.place()
    for vector in subject.spec.chunks:
        if set(vector.names) <= set(subject.spec.joints):
            refused(subject, _joint_jump(subject, vector, start), "jump")
        elif set(POSE) <= set(vector.names):
            still = _row(subject, vector, start, 0.0)
            refused(subject, Chunk(vector.names, (still, _row(subject, vector, start, 3.0)), 0.1), "jump")


def targets_outside_the_workspace_are_refused(subject: Subject) -> None:
    """A chunk that would lead the fingertips out of the workspace is refused before anything moves."""
    box = subject.spec.workspace
    if box is None:
        raise NotApplicable(f"{subject.spec.name} has no workspace")
    vector, start = _cartesian_vector(subject), subject.place()
    for axis, sign in ((0, 1), (2, -1)):
        size = box.high[axis] - box.low[axis]
        count = math.ceil(2 * size / vector.high[axis] / GENTLE)
        row = _row(subject, vector, start, sign * GENTLE, axis)
        refused(subject, Chunk(vector.names, (row,) * count, SLOW_ROW_S), "workspace", "reach")


def joint_chunk(subject: Subject, vector: VectorSpec, start: Place) -> Chunk:
    """Small steps of all joints, well below their top speeds."""
    options = subject.options
    distances = []
    for name in vector.names:
        most = GENTLE * subject.spec.joints[name].max_speed * options.chunk_period_s * options.chunk_rows
        spared = name in options.spared
        distances.append(0.0 if spared else joint_delta(subject, start, name, min(options.joint_step, most)))
    rows = [
        tuple(start.joints[name] + k / options.chunk_rows * distance for name, distance in zip(vector.names, distances))
        for k in range(1, options.chunk_rows + 1)
    ]
    return Chunk(vector.names, tuple(rows), options.chunk_period_s)


def cartesian_chunk(subject: Subject, vector: VectorSpec, start: Place) -> Chunk:
    """Chunk that moves up a short distance; the gripper keeps its aperture."""
    options = subject.options
    fraction = min(GENTLE, TIP_MPS * options.chunk_period_s / vector.high[2])
    return Chunk(vector.names, (_row(subject, vector, start, fraction),) * options.chunk_rows, options.chunk_period_s)


def any_chunk(subject: Subject, start: Place) -> Chunk:
    """Chunk that this robot takes; NotApplicable when there is none."""
    for vector in subject.spec.chunks:
        if set(vector.names) <= set(subject.spec.joints):
            return joint_chunk(subject, vector, start)
        if set(POSE) <= set(vector.names):
            return cartesian_chunk(subject, vector, start)
    raise NotApplicable(f"{subject.spec.name} takes no chunks")


def _joint_vector(subject: Subject) -> VectorSpec:
    for vector in subject.spec.chunks:
        if set(vector.names) <= set(subject.spec.joints):
            return vector
    raise NotApplicable(f"{subject.spec.name} takes no chunks of joint positions")


def _cartesian_vector(subject: Subject) -> VectorSpec:
    for vector in subject.spec.chunks:
        if vector.names == (*POSE, GRIPPER):
            return vector
    raise NotApplicable(f"{subject.spec.name} takes no chunks of increments of the gripper's pose")


def _row(subject: Subject, vector: VectorSpec, start: Place, fraction: float, axis: int = 2) -> Row:
    """Row with a `fraction` of the longest step along one axis; all else unchanged."""
    numbers = [0.0] * len(vector)
    numbers[axis] = fraction * vector.high[axis]
    if GRIPPER in vector.names:
        numbers[vector.names.index(GRIPPER)] = _open_share(subject, start)
    return tuple(numbers)


def _open_share(subject: Subject, start: Place) -> float:
    if GRIPPER_JOINT not in start.joints:
        return 1.0
    limits = subject.spec.joints[GRIPPER_JOINT]
    return min(max((start.joints[GRIPPER_JOINT] - limits.low) / (limits.high - limits.low), 0.0), 1.0)


def _joint_jump(subject: Subject, vector: VectorSpec, start: Place) -> Command:
    row = [start.joints[name] for name in vector.names]
    joint = vector.names[0]
    delta = joint_delta(subject, start, joint, math.inf)
    row[0] += delta
    period_s = abs(delta) / subject.spec.joints[joint].max_speed / 3
    return Chunk(vector.names, (tuple(start.joints[name] for name in vector.names), tuple(row)), period_s)


def _executed(move: Move) -> None:
    supported(move.sent)
    sent = move.sent
    expect(sent.executed, _short(move.asked), f"refused='{sent.refused}' blocked='{sent.blocked}'", "executed")


def _kept_its_rate(move: Move, chunk: Chunk) -> None:
    min_duration_s = len(chunk.rows) * chunk.period_s
    ok = 0.9 * min_duration_s <= move.duration_s <= min_duration_s + LATE_S
    expect(
        ok, f"time of {_short(chunk)}", f"{move.duration_s:.2f} s", f"{min_duration_s:.2f} s, at most {LATE_S} s more"
    )


def _tip_moved(subject: Subject, move: Move, chunk: Chunk) -> None:
    if subject.options.tip is None:
        return
    start, end = subject.options.tip(move.before.joints), subject.options.tip(move.after.joints)
    for axis, name in enumerate("xyz"):
        goal, distance = sum(row[axis] for row in chunk.rows), end[axis] - start[axis]
        off = subject.options.tip_tolerance_m
        expect(abs(distance - goal) <= off, f"fingertips along {name}", f"{distance:.4f} m", f"{goal:.4f} +- {off:g} m")


def _short(command: Command) -> str:
    return f"{command}"[:120]
