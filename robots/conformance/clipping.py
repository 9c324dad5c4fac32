"""Checks that what lies beyond a range ends at its limit, and that the body says so."""

from __future__ import annotations

from robots.command import Command, JointTarget, MoveJoint, SetGripper
from robots.conformance.judge import coherent, joint_goals, reached, stood, supported
from robots.conformance.place import Move, Place
from robots.conformance.steps import home, movable
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.limits import GRIPPER_JOINT

BEYOND = 0.2
"""How far beyond a limit is asked for [m] or [rad]."""


def targets_beyond_a_range_end_at_its_limit(subject: Subject) -> None:
    """A joint target or step beyond the range ends at the limit; `Sent.command` and `Sent.clipped` say so."""
    start, near = subject.place(), _near_limits(subject)
    for joint, limit in near.items():
        outwards = BEYOND if limit == subject.spec.joints[joint].high else -BEYOND
        most = subject.spec.joints[joint].max_step or BEYOND
        target = subject.move(JointTarget((joint,), (limit + outwards,)))
        step = subject.move(MoveJoint(joint, max(-most, min(most, outwards))))
        home(subject, start, (joint,))
        _ends_at(subject, target, joint, limit)
        _ends_at(subject, step, joint, limit)


def an_aperture_beyond_the_range_ends_at_its_limit(subject: Subject) -> None:
    """The gripper opens no wider than its limit; `Sent` says so."""
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
    expect(bool(sent.clipped), f"Sent.clipped of {what}", sent.clipped, "the name of what the limit changed")
    coherent(move.asked, sent)
    off = subject.options.tolerance(joint)
    goal = joint_goals(sent.command, move.before)[joint]
    expect(abs(goal - limit) <= off, f"Sent.command of {what}", sent.command, f"{joint} at its limit {limit:.4f}")
    reached(move, subject.options)
    stood(move, subject.options)
