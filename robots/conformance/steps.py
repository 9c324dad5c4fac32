"""Chooses small motions that a robot has room for."""

from __future__ import annotations

from robots.command import Command, JointTarget, MoveBase, MoveJoint, RotateBase
from robots.conformance.place import Place
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable
from robots.embodiment import BaseLimits
from robots.limits import GRIPPER_JOINT

SHARE = 0.4
"""Of its range that a joint is moved at most."""
LONG_S = 1.0
"""A long motion of a joint takes no longer at its top speed."""


def base_of(subject: Subject) -> BaseLimits:
    """The limits of the base; NotApplicable for an arm."""
    if subject.spec.base is None:
        raise NotApplicable(f"{subject.spec.name} has no base")
    return subject.spec.base


def drive(subject: Subject) -> MoveBase:
    """Short drive ahead."""
    return MoveBase(min(subject.options.base_step_m, base_of(subject).max_step_m))


def turn(subject: Subject) -> RotateBase:
    """A small turn."""
    return RotateBase(min(subject.options.base_step_rad, base_of(subject).max_step_rad))


def back(command: MoveBase | RotateBase) -> MoveBase | RotateBase:
    """The same drive backwards."""
    return MoveBase(-command.distance_m) if isinstance(command, MoveBase) else RotateBase(-command.angle_rad)


def movable(subject: Subject, *, gripper: bool = False) -> list[str]:
    """Joints that may be moved; NotApplicable when there is none."""
    spared = (*subject.options.spared, *(() if gripper else (GRIPPER_JOINT,)))
    joints = [joint for joint in subject.spec.joints if joint not in spared]
    if not joints:
        raise NotApplicable(f"{subject.spec.name} has no joint that may be moved")
    return joints


def joint_delta(subject: Subject, place: Place, joint: str, size: float | None = None) -> float:
    """A step of at most `size` towards the side where `joint` has more room [m] or [rad]."""
    limits, here = subject.spec.joints[joint], place.joints[joint]
    up, down = limits.high - here, here - limits.low
    size = min(subject.options.joint_step if size is None else size, SHARE * (limits.high - limits.low))
    return min(size, up) if up >= down else -min(size, down)


def joint_step(subject: Subject, place: Place, joint: str) -> MoveJoint:
    """One small step of a joint."""
    most = subject.spec.joints[joint].max_step
    size = subject.options.joint_step if most is None else min(most, subject.options.joint_step)
    return MoveJoint(joint, joint_delta(subject, place, joint, size))


def long_joint_target(subject: Subject, place: Place, most_s: float = LONG_S) -> tuple[JointTarget, float]:
    """Long step of the slowest joint, and its duration [s] at top speed."""

    def lasts(joint: str) -> float:
        return abs(long_delta(subject, place, joint, most_s)) / subject.spec.joints[joint].max_speed

    joint = max(movable(subject), key=lasts)
    goal = place.joints[joint] + long_delta(subject, place, joint, most_s)
    return JointTarget((joint,), (goal,)), lasts(joint)


def long_delta(subject: Subject, place: Place, joint: str, most_s: float) -> float:
    """A long step of a joint [m] or [rad], which takes at most `most_s` at its top speed."""
    size = min(subject.options.long_step, most_s * subject.spec.joints[joint].max_speed)
    return joint_delta(subject, place, joint, size)


def home(subject: Subject, place: Place, only: tuple[str, ...] = ()) -> None:
    """Brings the joints back to `place`."""
    spared = (*subject.options.spared, GRIPPER_JOINT)
    joints = [joint for joint in only or place.joints if joint not in spared]
    here = subject.place().joints
    away = tuple(joint for joint in joints if abs(here[joint] - place.joints[joint]) > subject.options.still_joint)
    if away:
        subject.execute(JointTarget(away, tuple(place.joints[joint] for joint in away)))


def long_base_step(subject: Subject, command: type[MoveBase | RotateBase]) -> tuple[Command, float]:
    """The longest single step of the base, and how long it takes [s] at its top speed."""
    base = base_of(subject)
    if command is MoveBase:
        return MoveBase(base.max_step_m), base.max_step_m / base.max_speed_mps
    return RotateBase(base.max_step_rad), base.max_step_rad / base.max_turn_radps
