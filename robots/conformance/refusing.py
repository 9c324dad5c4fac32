"""Checks that impossible or forbidden commands are refused with a reason, move nothing and never raise."""

from __future__ import annotations

import math

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
)
from robots.conformance.judge import refused
from robots.conformance.steps import base_of
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable
from robots.limits import GRIPPER_JOINT, HEAD_JOINTS

NO_JOINT = "joint_that_no_body_has"


def numbers_that_are_not_finite_are_refused(subject: Subject) -> None:
    """NaN and infinity in any command are refused, and nothing moves."""
    joint = next(iter(subject.spec.joints), NO_JOINT)
    commands: list[Command] = [MoveBase(math.nan), RotateBase(math.inf), MoveJoint(joint, math.nan)]
    commands += [JointTarget((joint,), (math.inf,)), SetGripper(math.nan), LookAt(0.0, -math.inf)]
    commands += [Chunk(chunk.names, ((math.nan,) * len(chunk),), 0.1) for chunk in subject.spec.chunks]
    for command in commands:
        refused(subject, command)


def joints_it_lacks_are_refused(subject: Subject) -> None:
    """A joint that the robot lacks is refused, and its name is in the reason."""
    refused(subject, MoveJoint(NO_JOINT, 0.01), NO_JOINT)
    refused(subject, JointTarget((NO_JOINT,), (0.0,)), NO_JOINT)
    refused(
        subject, JointTarget((*list(subject.spec.joints)[:1], NO_JOINT), (0.0, 0.0)[: len(subject.spec.joints) + 1])
    )


def malformed_joint_targets_are_refused(subject: Subject) -> None:
    """A joint target without joints, or with fewer positions than joints, is refused."""
    refused(subject, JointTarget((), ()))
    refused(subject, JointTarget(tuple(subject.spec.joints), ()))


def parts_it_lacks_are_refused(subject: Subject) -> None:
    """Commands for a base, a head, a gripper or a grasp that the robot lacks are refused."""
    spec = subject.spec
    commands: list[Command] = [MoveBase(0.01), RotateBase(0.01)] if spec.base is None else []
    commands += [] if set(HEAD_JOINTS) <= set(spec.joints) else [LookAt(0.0, 0.0)]
    commands += [] if GRIPPER_JOINT in spec.joints else [SetGripper(0.01)]
    commands += [grasp for grasp in (Grasp(), Release()) if grasp not in spec.actions.values()]
    if not commands:
        raise NotApplicable(f"{spec.name} has a base, a head, a gripper and grasps")
    for command in commands:
        refused(subject, command)


def long_base_steps_are_refused(subject: Subject) -> None:
    """A step or turn of the base beyond the longest one is refused, not shortened."""
    base = base_of(subject)
    refused(subject, MoveBase(1.5 * base.max_step_m))
    refused(subject, MoveBase(-1.5 * base.max_step_m))
    refused(subject, RotateBase(1.5 * base.max_step_rad))


def long_joint_steps_are_refused(subject: Subject) -> None:
    """A step of a joint beyond its longest one is refused, not shortened."""
    stepped = {name: joint.max_step for name, joint in subject.spec.joints.items() if joint.max_step is not None}
    if not stepped:
        raise NotApplicable(f"{subject.spec.name} has no joint with a longest step")
    for joint, step in stepped.items():
        refused(subject, MoveJoint(joint, 1.5 * step))
