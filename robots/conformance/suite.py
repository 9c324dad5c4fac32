"""The checks in their order, and three ways to run them."""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable

from robots.conformance import chunks, clipping, lifecycle, moving, refusing, seeing, stopping
from robots.conformance.options import Options
from robots.conformance.report import FAILED, NOT_APPLICABLE, NOT_RUN, PASSED, Report, Result
from robots.conformance.subject import Make, Subject
from robots.conformance.verdict import Failed, NotApplicable
from robots.errors import SpecError

Check = Callable[[Subject], None]

CHECKS: tuple[Check, ...] = (
    lifecycle.spec_is_readable_before_connect,
    lifecycle.nothing_works_before_connect,
    lifecycle.nothing_works_after_disconnect,
    lifecycle.the_same_object_connects_again,
    lifecycle.a_context_stops_and_disconnects,
    lifecycle.a_second_driver_is_refused,
    lifecycle.health_is_told_at_once,
    seeing.an_observation_fits_the_spec,
    seeing.stamps_increase,
    seeing.the_state_tells_every_joint,
    seeing.a_base_tells_its_pose,
    refusing.numbers_that_are_not_finite_are_refused,
    refusing.joints_it_lacks_are_refused,
    refusing.malformed_joint_targets_are_refused,
    refusing.parts_it_lacks_are_refused,
    refusing.long_base_steps_are_refused,
    refusing.long_joint_steps_are_refused,
    chunks.chunks_of_unknown_names_are_refused,
    chunks.chunks_with_a_jump_are_refused,
    chunks.targets_outside_the_workspace_are_refused,
    moving.done_and_stop_move_nothing,
    moving.base_steps_arrive,
    moving.base_turns_arrive,
    moving.joint_steps_arrive,
    moving.joint_targets_arrive,
    moving.the_gripper_arrives,
    moving.the_head_looks,
    moving.every_action_is_executed_or_says_why,
    moving.the_body_stands_when_execute_returns,
    moving.the_base_keeps_its_speed,
    moving.joints_keep_their_speed,
    moving.a_slowed_body_is_slower,
    clipping.targets_beyond_a_range_end_at_its_limit,
    clipping.targets_beyond_a_range_are_clipped,
    clipping.an_aperture_beyond_the_range_ends_at_its_limit,
    chunks.joint_chunks_arrive,
    chunks.cartesian_chunks_arrive,
    stopping.stopping_twice_is_harmless,
    stopping.stop_ends_a_base_step,
    stopping.stop_ends_a_base_turn,
    stopping.stop_ends_a_joint_motion,
    stopping.stop_ends_a_chunk,
    stopping.health_is_told_during_a_motion,
)
"""Every rule of the protocol, the ones that move nothing first."""


def name_of(check: Check) -> str:
    """The check's name, e.g. for `pytest.mark.parametrize("check", CHECKS, ids=name_of)`."""
    return check.__name__


def rule_of(check: Check) -> str:
    """Rule of a check, in a sentence."""
    return " ".join((check.__doc__ or "").split())


def chosen(options: Options) -> tuple[Check, ...]:
    """The checks that `options` ask for; SpecError for a name that is none."""
    names = [name_of(check) for check in CHECKS]
    for name in (*options.checks, *options.skip):
        if name not in names:
            raise SpecError("check", repr(name), f"one of {', '.join(names)}")
    return tuple(c for c in CHECKS if name_of(c) in (options.checks or names) and name_of(c) not in options.skip)


def run(
    make: Make,
    options: Options | None = None,
    *,
    slow: Make | None = None,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Runs the checks over the robot that `make` makes, and reports the rule before each.

    Args:
        make: makes the robot, not yet connected; called several times, one robot at a time.
        options: how the robot is tried.
        slow: makes the same body with a lower `speed`.
        say: takes a line before and after each check, e.g. `print`.
    """
    options, report = options or Options(), say or (lambda _line: None)
    results: list[Result] = []
    name = make().spec.name
    with Subject(make, options, slow) as subject:
        for check in chosen(options):
            report(f"{name_of(check)}: {rule_of(check)}")
            results.append(judge(check, subject))
            report(f"  {results[-1].status} {results[-1].reason}".rstrip())
    return Report(name, tuple(results))


def judge(check: Check, subject: Subject) -> Result:
    """Runs one check; any exception is a failure of the robot."""
    began, status, reason = time.monotonic(), PASSED, ""
    if subject.lost:
        return Result(name_of(check), rule_of(check), NOT_RUN, f"the body hangs in {subject.lost}")
    try:
        check(subject)
    except NotApplicable as error:
        status, reason = NOT_APPLICABLE, str(error)
    except Exception as error:
        status, reason = FAILED, str(error) or type(error).__name__
    return Result(name_of(check), rule_of(check), status, reason, time.monotonic() - began)


def verify(check: Check, make: Make, options: Options | None = None, *, slow: Make | None = None) -> None:
    """Runs one check over a robot of its own: for a driver's test file.

    Raises:
        Failed: an AssertionError: the robot breaks the rule.
        unittest.SkipTest: the rule does not apply to this robot; pytest counts it as skipped.
    """
    with Subject(make, options, slow) as subject:
        examine(check, subject)


def examine(check: Check, subject: Subject) -> None:
    """Runs one check over a robot that several checks share, where connecting takes long; raises as `verify`."""
    if subject.lost:
        raise Failed(name_of(check), f"a body that hangs in {subject.lost}", "one that answers")
    try:
        check(subject)
    except NotApplicable as error:
        raise unittest.SkipTest(str(error)) from None
