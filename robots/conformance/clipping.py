"""Checks that targets beyond a range end at the limit, and that the robot reports it."""

from __future__ import annotations

from functools import partial

from robots.command import Command, JointTarget, MoveJoint, SetGripper
from robots.conformance.judge import at_rest, coherent, joint_goals, reached, supported
from robots.conformance.place import Move, Place
from robots.conformance.steps import home, movable
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.limits import GRIPPER_JOINT
from robots.robot import Robot, Sent

NOWHERE = Place(0, {}, None)
STOP_S = 0.3
"""A motion towards a limit that is far is stopped after this time, or sooner where a joint is fast."""
ELSEWHERE = ("workspace", "reach", "contact")
"""A limit that lies where the robot may not go for another reason is refused with one of these words."""
BEYOND = 0.2
"""Distance of a target beyond a limit [m] or [rad]."""


def targets_beyond_a_range_end_at_its_limit(subject: Subject) -> None:
    """A joint target or step beyond the range ends at the limit; `Sent.command` and `Sent.clipped` report it."""
    start, near = subject.place(), _near_limits(subject)
    for joint, limit in near.items():
        most = subject.spec.joints[joint].max_step or BEYOND
        outwards = _outwards(subject, joint, limit)
        target = subject.move(JointTarget((joint,), (limit + outwards,)))
        step = subject.move(MoveJoint(joint, max(-most, min(most, outwards))))
        home(subject, start, (joint,))
        _ends_at(subject, target, joint, limit)
        _ends_at(subject, step, joint, limit)


def targets_beyond_a_range_are_clipped(subject: Subject) -> None:
    """A target beyond the range of any joint is clipped, and `Sent` reports it; it is stopped before the limit."""
    for joint in movable(subject):
        start, limits = subject.place(), subject.spec.joints[joint]
        limit = max((limits.low, limits.high), key=lambda one: abs(one - start.joints[joint]))
        command = JointTarget((joint,), (limit + _outwards(subject, joint, limit),))
        soon_s = min(STOP_S, subject.options.long_step / limits.max_speed / 2)
        sent = subject.execute(command, partial(_stop_after, subject.robot, soon_s))
        home(subject, start, (joint,))
        supported(sent)
        if not any(word in sent.refused for word in ELSEWHERE):
            _told_of(subject, command, sent, joint, limit)


def _stop_after(robot: Robot, soon_s: float, elapsed_s: float) -> None:
    if elapsed_s > soon_s:
        robot.stop()


def an_aperture_beyond_the_range_ends_at_its_limit(subject: Subject) -> None:
    """The gripper opens no wider than its limit; `Sent` reports it."""
    if GRIPPER_JOINT not in movable(subject, gripper=True):
        raise NotApplicable(f"{subject.spec.name} has no {GRIPPER_JOINT} that may be moved")
    start = subject.place()
    limit = subject.spec.joints[GRIPPER_JOINT].high
    command: Command = SetGripper(limit + BEYOND)
    move = subject.move(command)
    subject.execute(SetGripper(start.joints[GRIPPER_JOINT]))
    _ends_at(subject, move, GRIPPER_JOINT, limit)


def _near_limits(subject: Subject) -> dict[str, float]:
    """The nearest limit of each joint that has one within a long step."""
    place: Place = subject.place()
    near: dict[str, float] = {}
    for joint in movable(subject):
        limits, here = subject.spec.joints[joint], place.joints[joint]
        limit = min((limits.low, limits.high), key=lambda one: abs(one - here))
        if abs(limit - here) <= subject.options.long_step:
            near[joint] = limit
    if not near:
        raise NotApplicable(f"no joint is within {subject.options.long_step} of a limit; place the body near one")
    return near


def _ends_at(subject: Subject, move: Move, joint: str, limit: float) -> None:
    sent, what = move.sent, f"{move.asked}"
    supported(sent)
    expect(sent.executed, what, sent, f"a command clipped to {limit:.4f} and executed")
    _told_of(subject, move.asked, sent, joint, limit)
    reached(move, subject.options)
    at_rest(move, subject.options)


def _told_of(subject: Subject, asked: Command, sent: Sent, joint: str, limit: float) -> None:
    what, off = f"{asked}", subject.options.tolerance(joint)
    expect(not sent.refused, what, sent, f"a command clipped to {limit:.4f}")
    expect(bool(sent.clipped), f"Sent.clipped of {what}", sent.clipped, "the name of what the limit changed")
    coherent(asked, sent)
    goal = _goal(sent.command, joint)
    expect(
        goal is None or abs(goal - limit) <= off,
        f"Sent.command of {what}",
        sent.command,
        f"{joint} at its limit {limit:.4f}",
    )


def _goal(command: Command, joint: str) -> float | None:
    """Target of a command for the joint; None for a step, which is relative."""
    return None if isinstance(command, MoveJoint) else joint_goals(command, NOWHERE).get(joint)


def _outwards(subject: Subject, joint: str, limit: float) -> float:
    return BEYOND if limit == subject.spec.joints[joint].high else -BEYOND
