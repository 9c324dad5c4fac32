"""Compares a robot's report with measurements."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from robots.command import (
    Chunk,
    Command,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    RotateBase,
    SetGripper,
    command_to_json,
)
from robots.conformance.options import Options
from robots.conformance.place import Move, Place, base_way
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.limits import GRIPPER_JOINT, HEAD_JOINTS
from robots.robot import Sent

SAME = 1e-3
"""A number of a command that differs by less [m] or [rad] was only rounded."""
REFUSED_S = 0.5
"""A command that should be refused and runs for longer is stopped."""


def same(one: Command, other: Command) -> bool:
    """True when two commands are equal up to rounding; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    mine, yours = list(_values(command_to_json(one))), list(_values(command_to_json(other)))
    return len(mine) == len(yours) and all(_close(a, b) for a, b in zip(mine, yours))


def _values(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        data = tuple(data.values())
    if isinstance(data, (tuple, list)):
        for one in data:
            yield from _values(one)
    else:
        yield data


def _close(a: object, b: object) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return repr(float(a)) == repr(float(b)) or abs(a - b) < SAME
    return a == b


def joint_goals(command: Command, before: Place) -> dict[str, float]:
    """Target positions of the joints that `command` names [m] or [rad]."""
    if isinstance(command, MoveJoint):
        return {command.joint: before.joints[command.joint] + command.delta}
    if isinstance(command, JointTarget):
        return dict(zip(command.joints, command.positions))
    if isinstance(command, SetGripper):
        return {GRIPPER_JOINT: command.aperture_m}
    if isinstance(command, LookAt):
        return dict(zip(HEAD_JOINTS, (command.pan_rad, command.tilt_rad)))
    if isinstance(command, Chunk) and command.rows:
        return {name: value for name, value in zip(command.names, command.rows[-1]) if name in before.joints}
    return {}


def base_goal(command: Command) -> tuple[float, float]:
    """Target of the base by `command`: forward [m], turn [rad]."""
    if isinstance(command, MoveBase):
        return command.distance_m, 0.0
    return (0.0, command.angle_rad) if isinstance(command, RotateBase) else (0.0, 0.0)


def supported(sent: Sent) -> None:
    """Raises NotApplicable when the robot refuses this kind of command by name."""
    kind = type(sent.command).__name__
    if kind.lower() in sent.refused.lower() and "got" not in sent.refused:
        raise NotApplicable(f"the body refuses {kind}: {sent.refused}")


def arrived(move: Move, options: Options) -> None:
    """Checks that the command was executed as requested, and that the robot is at its target."""
    what, sent = str(move.asked), move.sent
    supported(sent)
    expect(sent.executed, what, f"refused='{sent.refused}' blocked='{sent.blocked}'", "an executed command")
    expect(same(sent.command, move.asked), f"Sent.command of {what}", sent.command, f"{move.asked}, within the limits")
    expect(not sent.clipped, f"Sent.clipped of {what}", sent.clipped, "() for a command within the limits")
    reached(move, options)


def reached(move: Move, options: Options, loose: tuple[str, ...] = ()) -> None:
    """Checks that the robot is at the target of `Sent.command`, and that all else, except `loose`, did not move."""
    after = f"after {move.sent.command}"
    goals = {**move.before.joints, **joint_goals(move.sent.command, move.before)}
    for joint, goal in goals.items():
        here, off = move.after.joints[joint], options.tolerance(joint)
        ok = joint in loose or abs(here - goal) <= off
        started = move.before.joints[joint]
        expect(ok, f"{joint} {after}", f"{here:.4f} (from {started:.4f})", f"{goal:.4f} +- {off:g} as in Sent")
    _base_reached(move, options, after)


def _base_reached(move: Move, options: Options, after: str) -> None:
    forward, left, turn = base_way(move.before.pose, move.after.pose)
    to_go, to_turn = base_goal(move.sent.command)
    off_m, off_rad = options.base_tolerance_m, options.base_tolerance_rad
    expect(abs(forward - to_go) <= off_m, f"base {after}", f"{forward:.4f} m ahead", f"{to_go:.4f} +- {off_m:g} m")
    expect(abs(left) <= off_m, f"base {after}", f"{left:.4f} m to the left", f"0 +- {off_m:g} m")
    turned = math.remainder(turn - to_turn, math.tau)
    expect(abs(turned) <= off_rad, f"base {after}", f"{turn:.4f} rad turned", f"{to_turn:.4f} +- {off_rad:g} rad")


def at_rest(move: Move, options: Options) -> None:
    """Checks that the robot was at rest when `execute` returned."""
    unmoved(move.returned, move.after, options, f"when execute({move.asked}) had returned")


def unmoved(start: Place, end: Place, options: Options, when: str) -> None:
    """Nothing moved between two measurements."""
    for joint, was in start.joints.items():
        way = end.joints[joint] - was
        expect(abs(way) <= options.still_joint, f"{joint} {when}", f"moved by {way:.4f}", "a joint at rest")
    forward, left, turn = base_way(start.pose, end.pose)
    distance = math.hypot(forward, left)
    expect(distance <= options.still_m, f"base {when}", f"moved by {distance:.4f} m", "a base at rest")
    expect(abs(turn) <= options.still_rad, f"base {when}", f"turned by {turn:.4f} rad", "a base at rest")


def coherent(asked: Command, sent: Sent) -> None:
    """The fields of a Sent do not contradict each other or what was asked."""
    what = f"Sent of {asked}"
    expect(not (sent.refused and sent.blocked), what, f"{sent}", "refused or blocked, not both")
    expect(type(sent.command) is type(asked), what, sent.command, f"a {type(asked).__name__}")
    changed = not same(asked, sent.command)
    if sent.refused:
        expect(not changed, what, sent.command, "the command as asked when it is refused")
    else:
        expect(not changed or bool(sent.clipped), what, f"clipped=() but {sent.command}", "clipped names what changed")
        expect(not sent.clipped or changed, what, f"clipped={sent.clipped}, nothing changed", "clipped=()")


def refused(subject: Subject, command: Command, *words: str) -> None:
    """`command` is refused with one of `words` in the reason, and nothing moves; if it does, it is stopped."""
    robot, before = subject.robot, subject.place()
    sent = subject.execute(command, lambda elapsed_s: robot.stop() if elapsed_s > REFUSED_S else None)
    what = f"{command}"[:160]
    expect(bool(sent.refused), what, f"{sent}"[:200], "a refusal")
    named = not words or any(word in sent.refused for word in words)
    expect(named, f"refusal of {what}", repr(sent.refused), f"a reason with {' or '.join(map(repr, words))}")
    expect(same(sent.command, command), f"Sent.command of refused {what}", sent.command, "the command as asked")
    time.sleep(subject.options.settle_s)
    unmoved(before, subject.place(), subject.options, f"after the refused {what}")
