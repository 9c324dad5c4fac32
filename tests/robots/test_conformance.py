"""The conformance suite passes on good robots and names what a bad one breaks."""

from __future__ import annotations

import math
import re
import threading
import time
import unittest
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import bad_robots as bad
import pytest

from robots.command import Chunk, JointTarget, MoveBase, MoveJoint, SetGripper
from robots.conformance import (
    CHECKS,
    Check,
    Failed,
    NotApplicable,
    Options,
    Report,
    Subject,
    name_of,
    rule_of,
    run,
    verify,
)
from robots.conformance.caller import Caller
from robots.conformance.judge import coherent, same
from robots.conformance.place import base_way
from robots.conformance.suite import chosen
from robots.errors import SpecError
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.robot import Robot, Sent

QUICK = Options(settle_s=0.05, lag_s=0.0, long_step=0.21, observe_s=1.0)
THREADS = 40
"""Robots that are tried at the same time: nearly all they do is wait."""

ARRIVE = r"got .* expected .* as in Sent"
STANDS_STILL = r"got 0\.0000 m ahead, expected 0\.1000 \+- 0\.03 m"
NOT_STOPPED = r"expected Sent.blocked with the stop|execute\(\) returned .* expected at most"
NOT_WELL = r"got .*bus-off: no frame for 2 s"
UNCONNECTED = r"execute\(Done\(\)\) .* got Sent\(.*expected NotConnected"

SINGLE: dict[type[bad.Cart], dict[str, str]] = {
    bad.ClipsSilently: {
        "targets_beyond_a_range_are_clipped": r"Sent.clipped of JointTarget.*got \(\), expected the name",
        "targets_beyond_a_range_end_at_its_limit": r"Sent.clipped of JointTarget.*got \(\), expected the name",
        "an_aperture_beyond_the_range_ends_at_its_limit": r"Sent.clipped of SetGripper.*got \(\), expected the name",
    },
    bad.SaysClipped: {
        "targets_beyond_a_range_are_clipped": r"got clipped=\('lift',\), nothing changed, expected clipped=\(\)",
        "targets_beyond_a_range_end_at_its_limit": r"got clipped=\('lift',\), nothing changed, expected clipped=\(\)",
        "an_aperture_beyond_the_range_ends_at_its_limit": r"got clipped=\('gripper_aperture',\), nothing changed",
    },
    bad.TellsAnotherCommand: {
        "base_turns_arrive": r"got RotateBase\(angle_rad=0.5\), expected RotateBase\(angle_rad=0.25\)",
        "every_action_is_executed_or_says_why": r"got clipped=\(\) but RotateBase\(angle_rad=0.6\)",
    },
    bad.TurnsClockwise: {
        "base_turns_arrive": r"got -0.2500 rad turned, expected 0.2500",
        "every_action_is_executed_or_says_why": r"got -0.3000 rad turned, expected 0.3000",
    },
    bad.ShortensLongSteps: {
        "long_base_steps_are_refused": r"got Sent\(.*clipped=\('distance_m',\).*expected a refusal"
    },
    bad.RefusesAndMoves: {
        "numbers_that_are_not_finite_are_refused": r"refused MoveBase\(distance_m=nan\): got moved by 0.1000 m",
        "long_base_steps_are_refused": r"after the refused MoveBase.*: got moved by 0.1000 m, expected a base at rest",
    },
    bad.ExecutesNaN: {
        "numbers_that_are_not_finite_are_refused": r"MoveJoint\(joint='lift', delta=nan\): got Sent.*expected a refusal"
    },
    bad.RaisesBeyondLimits: {
        "targets_beyond_a_range_are_clipped": r"got ValueError: out of range, expected a Sent",
        "targets_beyond_a_range_end_at_its_limit": r"got ValueError: out of range, expected a Sent; it never raises",
        "an_aperture_beyond_the_range_ends_at_its_limit": r"got ValueError: out of range, expected a Sent",
    },
    bad.IgnoresStop: {
        "stop_ends_a_base_step": NOT_STOPPED,
        "stop_ends_a_base_turn": NOT_STOPPED,
        "stop_ends_a_joint_motion": NOT_STOPPED,
        "stop_ends_a_chunk": NOT_STOPPED,
    },
    bad.HidesTheStop: {
        "stop_ends_a_base_step": NOT_STOPPED,
        "stop_ends_a_base_turn": NOT_STOPPED,
        "stop_ends_a_joint_motion": NOT_STOPPED,
        "stop_ends_a_chunk": NOT_STOPPED,
    },
    bad.StampsWallTime: {"stamps_increase": r"age of an observation: got -.* s on the monotonic clock, expected 0 to"},
    bad.SeesInDouble: {"an_observation_fits_the_spec": r"dtype of the state: got .*float64.*, expected float32"},
    bad.Speeds: {
        "the_base_keeps_its_speed": r"the base in MoveBase.*expected at least 0\..* s at 0.300 per s",
        "joints_keep_their_speed": r"lift in JointTarget.* expected at least 0\..* s at 0.400 per s",
        "a_slowed_body_is_slower": r"MoveBase.*: got .* s, expected at least 0.33 s",
    },
    bad.IgnoresItsOptions: {
        "a_slowed_body_is_slower": r"top speed of lift with a lower speed: got 0.4, expected below 0.4"
    },
    bad.SlowOnPaper: {"a_slowed_body_is_slower": r"MoveBase.*: got 0\..* s, expected at least 0.67 s"},
    bad.DragsTheWrist: {
        "joint_steps_arrive": r"wrist after MoveJoint\(joint='lift', delta=0.06\): got 0.2600",
        "every_action_is_executed_or_says_why": r"wrist after MoveJoint\(joint='lift'.*: got .* as in Sent",
        "targets_beyond_a_range_end_at_its_limit": r"wrist after MoveJoint\(joint='lift'.*: got .* as in Sent",
    },
    bad.DropsRows: {
        "stop_ends_a_chunk": r"lift after a chunk stopped at 0\..* s: got 0.0600 before its end, expected at most"
    },
    bad.PullsOpen: {
        "the_gripper_arrives": r"gripper_aperture after SetGripper.*: got 0.1000 .*, expected 0.0600",
        "an_aperture_beyond_the_range_ends_at_its_limit": r"got \(\), expected the name of what the limit changed",
    },
    bad.AnswersLate: {
        "health_is_told_at_once": r"health\(\): got an answer after 0\.\d+ s, expected at most 0.025 s",
        "health_is_told_during_a_motion": r"health\(\) in a motion: got 0\.\d+ s, expected 0.025 s",
    },
    bad.IsUnwell: {"health_is_told_at_once": NOT_WELL, "health_is_told_during_a_motion": NOT_WELL},
    bad.ConnectsOnce: {"the_same_object_connects_again": r"observe\(\): got OSError: bad file descriptor"},
    bad.WorksUnconnected: {
        "nothing_works_before_connect": UNCONNECTED,
        "nothing_works_after_disconnect": UNCONNECTED,
        "a_context_stops_and_disconnects": UNCONNECTED,
    },
    bad.LeavesWithoutStop: {
        "a_context_stops_and_disconnects": r"got \['disconnect'\], expected \['stop', 'disconnect'\]"
    },
    bad.FailsToStopUnconnected: {
        "nothing_works_before_connect": r"stop\(\) before connect\(\): got NotConnected.*expected no exception",
        "nothing_works_after_disconnect": r"stop\(\) after disconnect\(\): got NotConnected.*expected no exception",
    },
    bad.LeavesItsWorkspace: {"targets_outside_the_workspace_are_refused": r"got Sent\(.*expected a refusal"},
    bad.TakesStepsForHalf: {"cartesian_chunks_arrive": r"fingertips along z: got 0.0200 m, expected 0.0400 \+- 0.01 m"},
    bad.Jumps: {"chunks_with_a_jump_are_refused": r"got Sent\(.*expected a refusal"},
}
"""What each bad robot breaks: exactly these checks fail, with these messages."""

MANY: dict[type[bad.Cart], dict[str, str]] = {
    bad.ReturnsEarly: {
        "the_body_stands_when_execute_returns": r"base when execute\(MoveBase.* had returned: got moved by 0\.\d+ m",
        "base_steps_arrive": r"base after MoveBase.*: got 0\.0\d+ m ahead, expected 0.1000",
    },
    bad.OnlySaysSo: {
        "base_steps_arrive": STANDS_STILL,
        "joint_steps_arrive": r"lift after MoveJoint.*: got 0.2000 \(from 0.2000\), expected 0.2600 .* as in Sent",
        "the_gripper_arrives": ARRIVE,
        "joint_chunks_arrive": ARRIVE,
    },
    bad.MovesHalf: {"base_steps_arrive": r"got 0.0500 m ahead, expected 0.1000 \+- 0.03 m"},
    bad.OnlySaysItStopped: {
        "stop_ends_a_base_step": r"base when execute\(MoveBase.* had returned: got moved by",
        "stop_ends_a_joint_motion": r"lift when execute\(JointTarget.* had returned: got moved by .*joint at rest",
    },
    bad.StopsForGood: {"stopping_twice_is_harmless": r"got refused='stopped' blocked='', expected an executed command"},
    bad.RepeatsStamps: {
        "stamps_increase": r"stamp_ns of the next observation: got (\d+), expected one after \1",
        "base_steps_arrive": r"observe\(\): got nothing newer than .*, expected an observation of now",
    },
    bad.NeverObserves: {"the_same_object_connects_again": r"observe\(\): got no return within 1 s, expected a return"},
}
"""What else breaks with it: these checks fail, with these messages; others may."""


def tip(joints: Mapping[str, float]) -> tuple[float, float, float]:
    return joints["x"], joints["y"], joints["z"]


def report_of(kind: type[bad.Cart]) -> Report:
    options = replace(QUICK, tip=tip) if issubclass(kind, bad.Gantry) else QUICK
    if kind in MANY:
        options = replace(options, checks=tuple(MANY[kind]))
    return run(kind, options, slow=lambda: kind(replace(bad.OPTIONS, speed=0.5)))


@pytest.fixture(scope="module")
def reports() -> Iterator[Mapping[type[bad.Cart], Report]]:
    """What the suite says of each robot; they are tried at the same time."""
    kinds = [bad.Cart, bad.Gantry, *SINGLE, *MANY]
    with ThreadPoolExecutor(THREADS) as pool:
        yield dict(zip(kinds, pool.map(report_of, kinds)))
    bad.NeverObserves.ended.set()


@pytest.mark.parametrize("kind", [bad.Cart, bad.Gantry])
def test_a_good_robot_passes(kind: type[bad.Cart], reports: Mapping[type[bad.Cart], Report]) -> None:
    assert reports[kind].failed() == {}
    assert reports[kind].ok
    assert sum(result.status == "pass" for result in reports[kind].results) >= 25


@pytest.mark.parametrize("kind", SINGLE, ids=lambda kind: kind.__name__)
def test_a_planted_fault_fails_its_checks_and_no_other(
    kind: type[bad.Cart], reports: Mapping[type[bad.Cart], Report]
) -> None:
    failed = reports[kind].failed()
    assert set(failed) == set(SINGLE[kind])
    for check, message in SINGLE[kind].items():
        assert re.search(message, failed[check], re.DOTALL), failed[check]
    assert not reports[kind].ok


@pytest.mark.parametrize("kind", MANY, ids=lambda kind: kind.__name__)
def test_a_fault_that_breaks_much_is_named(kind: type[bad.Cart], reports: Mapping[type[bad.Cart], Report]) -> None:
    failed = reports[kind].failed()
    for check, message in MANY[kind].items():
        assert re.search(message, failed[check], re.DOTALL), failed[check]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_conformance_of_the_fake(check: Check) -> None:
    options = replace(QUICK, settle_s=0.02, joint_step=0.03, base_step_m=0.06)
    verify(check, FakeRobot, options, slow=lambda: FakeRobot(FakeOptions(speed=0.5)))


def test_after_a_call_that_never_returns_nothing_more_is_asked() -> None:
    ended = threading.Event()

    class Hangs(bad.Cart):
        def observe(self) -> None:  # type: ignore[override]
            ended.wait()

    report = run(Hangs, replace(QUICK, observe_s=0.1, checks=("stamps_increase", "base_steps_arrive")))
    ended.set()
    assert [result.status for result in report.results] == ["FAIL", "not run"]
    assert report.results[1].reason == "the body hangs in observe()"
    assert not report.ok


def test_a_motion_that_never_ends_is_stopped() -> None:
    with Subject(lambda: bad.Cart(replace(bad.OPTIONS, speed=0.01)), replace(QUICK, motion_s=0.2)) as subject:
        with pytest.raises(Failed, match=r"execute\(MoveBase.*: got no return within 0.2 s, expected a return"):
            subject.execute(MoveBase(0.1))
        robot = subject.robot
        time.sleep(0.3)
        assert isinstance(robot, FakeRobot)
        assert not robot.moving


def test_a_second_driver_must_be_refused() -> None:
    one = run(bad.Cart, replace(QUICK, exclusive=True, checks=("a_second_driver_is_refused",)))
    assert one.failed() == {
        "a_second_driver_is_refused": "connect() of a second object: got a connection, expected ConnectionFailed"
    }


def test_verify_skips_what_does_not_apply() -> None:
    check = next(check for check in CHECKS if name_of(check) == "the_head_looks")
    with pytest.raises(unittest.SkipTest, match="cart has no head that may be moved"):
        verify(check, bad.Cart, QUICK)


def test_a_spared_joint_is_never_moved() -> None:
    moved: set[str] = set()

    class Watched(bad.Cart):
        def execute(self, command: object) -> Sent:
            before = dict(self.positions)
            sent = super().execute(command)  # type: ignore[arg-type]
            moved.update(name for name, value in self.positions.items() if abs(value - before[name]) > 1e-6)
            return sent

    names = ("joint_steps_arrive", "joint_targets_arrive", "joint_chunks_arrive", "stop_ends_a_joint_motion")
    report = run(Watched, replace(QUICK, spared=("lift", "gripper_aperture"), checks=names))
    assert report.failed() == {}
    assert moved == {"wrist"}


def test_the_body_ends_where_it_began() -> None:
    made: list[bad.Cart] = []

    def make() -> Robot:
        made.append(bad.Cart())
        return made[-1]

    names = ("base_steps_arrive", "base_turns_arrive", "joint_targets_arrive", "stop_ends_a_base_step")
    assert run(make, replace(QUICK, checks=names)).ok
    x, y, yaw = made[-1].pose
    assert math.hypot(x, y) < 0.02
    assert abs(yaw) < 0.02
    assert made[-1].positions["wrist"] == pytest.approx(0.2, abs=0.01)


def test_run_says_what_it_does_before_it_does_it() -> None:
    lines: list[str] = []
    report = run(bad.Cart, replace(QUICK, checks=("stamps_increase", "the_head_looks")), say=lines.append)
    assert lines[0].startswith("stamps_increase: Stamps strictly increase")
    assert lines[1] == "  pass"
    assert lines[3] == "  n/a cart has no head that may be moved"
    assert str(report).endswith("cart: 1 passed, 0 failed of 2")
    assert report.to_json()["results"][0]["check"] == "stamps_increase"


def test_unknown_checks_are_named() -> None:
    with pytest.raises(SpecError, match="check: got 'dances'"):
        chosen(Options(checks=("dances",)))
    skipped = chosen(Options(skip=("stamps_increase",)))
    assert len(skipped) == len(CHECKS) - 1


def test_every_check_states_its_rule() -> None:
    assert all(rule_of(check).endswith(".") for check in CHECKS)
    assert len({name_of(check) for check in CHECKS}) == len(CHECKS)


def test_a_way_is_seen_from_where_it_starts() -> None:
    assert base_way((1.0, 1.0, math.pi / 2), (0.0, 3.0, -math.pi)) == pytest.approx((2.0, 1.0, math.pi / 2))
    assert base_way(None, None) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (MoveBase(0.1), MoveBase(0.1004), True),
        (MoveBase(0.1), MoveBase(0.11), False),
        (MoveBase(math.nan), MoveBase(math.nan), True),
        (MoveBase(math.nan), MoveBase(0.0), False),
        (JointTarget(("a",), (1.0,)), JointTarget(("b",), (1.0,)), False),
        (Chunk(("a",), ((1.0,), (2.0,)), 0.1), Chunk(("a",), ((1.0,),), 0.1), False),
        (MoveBase(0.1), SetGripper(0.1), False),
    ],
)
def test_same_commands(one: MoveBase, other: MoveBase, alike: bool) -> None:
    assert same(one, other) is alike


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (Sent(MoveJoint("a", 0.1), refused="no", blocked="contact"), "expected refused or blocked, not both"),
        (Sent(MoveBase(0.1)), "expected a MoveJoint"),
        (Sent(MoveJoint("a", 0.2), refused="no"), "expected the command as asked when it is refused"),
        (Sent(MoveJoint("a", 0.2)), "expected clipped names what changed"),
        (Sent(MoveJoint("a", 0.1), clipped=("a",)), r"expected clipped=\(\)"),
    ],
)
def test_a_sent_that_contradicts_itself(sent: Sent, message: str) -> None:
    with pytest.raises(Failed, match=message):
        coherent(MoveJoint("a", 0.1), sent)


def test_a_caller_raises_what_the_job_raises() -> None:
    caller = Caller()
    with pytest.raises(KeyError, match="planted"):
        caller.call("job", lambda: {}["planted"], 1.0)
    assert caller.call("job", threading.get_ident, 1.0) != threading.get_ident()
    caller.close()


def test_not_applicable_is_no_failure() -> None:
    assert not issubclass(NotApplicable, AssertionError)
    assert issubclass(Failed, AssertionError)
