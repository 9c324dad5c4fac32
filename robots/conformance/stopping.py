"""Checks that `stop()` from another thread ends any motion, and that the robot can go on afterwards."""

from __future__ import annotations

import statistics
import time

from robots.command import Chunk, Command, MoveBase, RotateBase
from robots.conformance.chunks import any_chunk
from robots.conformance.judge import arrived, joint_goals, stood
from robots.conformance.place import Move, base_way
from robots.conformance.steps import back, drive, home, joint_step, long_base_step, long_joint_target, movable
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.robot import Health

LEAST_S = 0.2
"""A motion that is shorter cannot be stopped on its way."""
SLOWER = 2.0
"""A chunk that is to be stopped has its rows this many times further apart."""


def stopping_twice_is_harmless(subject: Subject) -> None:
    """`stop()` while nothing moves, also twice, keeps no later command from being executed."""
    robot = subject.robot
    robot.stop()
    robot.stop()
    _moves_on(subject)


def stop_ends_a_base_step(subject: Subject) -> None:
    """`stop()` ends a drive within the base's deceleration, `Sent.blocked` says so, and the next command works."""
    start = subject.place()
    command, lasts_s = long_base_step(subject, MoveBase)
    move, stopped_s = _stopped(subject, command, lasts_s)
    base = subject.spec.base
    assert base is not None  # `long_base_step` looked
    driven = base_way(start.pose, move.after.pose)[0]
    subject.execute(MoveBase(-driven))
    slowing_s = base.max_speed_mps / base.max_decel_mps2
    _ended(subject, move, stopped_s, slowing_s)
    most = base.max_speed_mps * (stopped_s + subject.options.stop_s + slowing_s / 2) + subject.options.base_tolerance_m
    expect(abs(driven) <= most, f"way of the stopped {command}", f"{driven:.3f} m", f"at most {most:.3f} m")
    _moves_on(subject)


def stop_ends_a_base_turn(subject: Subject) -> None:
    """`stop()` ends a turn within the base's deceleration, `Sent.blocked` says so, and the next command works."""
    start = subject.place()
    command, lasts_s = long_base_step(subject, RotateBase)
    move, stopped_s = _stopped(subject, command, lasts_s)
    base = subject.spec.base
    assert base is not None  # `long_base_step` looked
    subject.execute(RotateBase(-base_way(start.pose, move.after.pose)[2]))
    _ended(subject, move, stopped_s, base.max_turn_radps / base.max_turn_decel_radps2)
    _moves_on(subject)


def stop_ends_a_joint_motion(subject: Subject) -> None:
    """`stop()` holds the joints where they are, `Sent.blocked` says so, and the next command works."""
    start = subject.place()
    command, lasts_s = long_joint_target(subject, start)
    joint, goal = command.joints[0], command.positions[0]
    move, stopped_s = _stopped(subject, command, lasts_s)
    home(subject, start)
    _ended(subject, move, stopped_s)
    speed = subject.spec.joints[joint].max_speed
    most = speed * (stopped_s + subject.options.stop_s) + subject.options.tolerance(joint)
    way = abs(move.after.joints[joint] - start.joints[joint])
    expect(way <= most, f"way of {joint} when stopped on the way to {goal:.3f}", f"{way:.3f}", f"at most {most:.3f}")
    _moves_on(subject)


def stop_ends_a_chunk(subject: Subject) -> None:
    """`stop()` ends a chunk, none of its rows is executed afterwards, and the next command is."""
    start = subject.place()
    chunk = any_chunk(subject, start)
    chunk = Chunk(chunk.names, chunk.rows, SLOWER * chunk.period_s)
    lasts_s = len(chunk.rows) * chunk.period_s
    move, stopped_s = _stopped(subject, chunk, lasts_s)
    home(subject, start)
    _ended(subject, move, stopped_s)
    for joint, goal in joint_goals(chunk, start).items():
        way, most = abs(move.after.joints[joint] - start.joints[joint]), abs(goal - start.joints[joint])
        most = most * (stopped_s + subject.options.stop_s) / lasts_s + subject.options.still_joint
        expect(
            way <= most,
            f"{joint} after a chunk stopped at {stopped_s:.2f} s",
            f"{way:.4f} on its way",
            f"at most {most:.4f}",
        )
    _moves_on(subject)


def health_is_told_during_a_motion(subject: Subject) -> None:
    """`health()` answers another thread at once while `execute` runs."""
    robot, times = subject.robot, []

    def ask(_elapsed_s: float) -> None:
        began = time.monotonic()
        health = robot.health()
        times.append(time.monotonic() - began)
        expect(
            isinstance(health, Health) and not health.fault, "health() in a motion", health, "a Health without fault"
        )

    start = subject.place()
    move = subject.move(_any_motion(subject), ask)
    _return(subject, move)
    home(subject, start)
    expect(bool(times), "health() in a motion", "no answer before execute() returned", "answers")
    took = statistics.median(times)
    expect(took <= subject.options.health_s, "health() in a motion", f"{took:.3f} s", f"{subject.options.health_s} s")


def _stopped(subject: Subject, command: Command, lasts_s: float) -> tuple[Move, float]:
    """The move, stopped on its way, and when it was stopped [s] after it was asked for."""
    if lasts_s < LEAST_S:
        raise NotApplicable(f"{str(command)[:80]} takes {lasts_s:.2f} s: too short to be stopped; make a slower body")
    robot, stopped = subject.robot, list[float]()

    def stop(elapsed_s: float) -> None:
        if not stopped and elapsed_s > 0.4 * lasts_s:
            stopped.append(elapsed_s)
            robot.stop()

    move = subject.move(command, stop)
    expect(bool(stopped), f"{str(command)[:80]}", f"it ended after {move.duration_s:.2f} s", f"about {lasts_s:.2f} s")
    return move, stopped[0]


def _ended(subject: Subject, move: Move, stopped_s: float, slowing_s: float = 0.0) -> None:
    what, sent = f"{str(move.asked)[:80]} after stop()", move.sent
    most_s = subject.options.stop_s + slowing_s
    late_s = move.duration_s - stopped_s
    expect(late_s <= most_s, what, f"execute() returned {late_s:.2f} s later", f"at most {most_s:.2f} s")
    expect(bool(sent.blocked), what, f"{str(sent)[:160]}", "Sent.blocked that says it was stopped")
    stood(move, subject.options)


def _any_motion(subject: Subject) -> Command:
    if subject.spec.base is not None:
        return drive(subject)
    return joint_step(subject, subject.place(), movable(subject)[0])


def _return(subject: Subject, move: Move) -> None:
    if isinstance(move.asked, (MoveBase, RotateBase)):
        subject.execute(back(move.asked))


def _moves_on(subject: Subject) -> None:
    start = subject.place()
    move = subject.move(_any_motion(subject))
    _return(subject, move)
    home(subject, start)
    arrived(move, subject.options)
