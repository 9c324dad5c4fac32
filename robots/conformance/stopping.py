"""Checks that `stop()` from another thread ends any motion, and that the robot can go on afterwards."""

from __future__ import annotations

import statistics
import time

from robots.command import Chunk, Command, MoveBase, RotateBase
from robots.conformance.chunks import any_chunk
from robots.conformance.judge import arrived, at_rest, joint_goals
from robots.conformance.place import Move, base_way
from robots.conformance.steps import back, drive, home, joint_step, long_base_step, long_joint_target, movable
from robots.conformance.subject import Subject
from robots.conformance.verdict import NotApplicable, expect
from robots.robot import Health

LEAST_S = 0.2
"""A shorter motion cannot be stopped before its end."""
SLOWER = 2.0
"""A chunk that is to be stopped has its rows this many times further apart."""


def stopping_twice_is_harmless(subject: Subject) -> None:
    """`stop()` while nothing moves, also twice, keeps no later command from being executed."""
    robot = subject.robot
    robot.stop()
    robot.stop()
    _moves_on(subject)


def stop_ends_a_base_step(subject: Subject) -> None:
    """`stop()` ends a drive within the base's deceleration, `Sent.blocked` reports it, and the next command works."""
    start = subject.place()
    command, lasts_s = long_base_step(subject, MoveBase)
    move, stopped_s = _stopped(subject, command, lasts_s)
    base = subject.spec.base
    assert base is not None  # checked by `long_base_step`
    driven = base_way(start.pose, move.after.pose)[0]
    subject.execute(MoveBase(-driven))
    slowing_s = base.max_speed_mps / base.max_decel_mps2
    _ended(subject, move, stopped_s, slowing_s)
    max_distance = (
        base.max_speed_mps * (stopped_s + subject.options.stop_s + slowing_s / 2) + subject.options.base_tolerance_m
    )
    expect(
        abs(driven) <= max_distance,
        f"distance of the stopped {command}",
        f"{driven:.3f} m",
        f"at most {max_distance:.3f} m",
    )
    _moves_on(subject)


def stop_ends_a_base_turn(subject: Subject) -> None:
    """`stop()` ends a turn within the base's deceleration, `Sent.blocked` reports it, and the next command works."""
    start = subject.place()
    command, lasts_s = long_base_step(subject, RotateBase)
    move, stopped_s = _stopped(subject, command, lasts_s)
    base = subject.spec.base
    assert base is not None  # checked by `long_base_step`
    subject.execute(RotateBase(-base_way(start.pose, move.after.pose)[2]))
    _ended(subject, move, stopped_s, base.max_turn_radps / base.max_turn_decel_radps2)
    _moves_on(subject)


def stop_ends_a_joint_motion(subject: Subject) -> None:
    """`stop()` holds the joints where they are, `Sent.blocked` reports it, and the next command works."""
    start = subject.place()
    command, lasts_s = long_joint_target(subject, start)
    joint, goal = command.joints[0], command.positions[0]
    move, stopped_s = _stopped(subject, command, lasts_s)
    home(subject, start)
    _ended(subject, move, stopped_s)
    speed = subject.spec.joints[joint].max_speed
    max_distance = speed * (stopped_s + subject.options.stop_s) + subject.options.tolerance(joint)
    distance = abs(move.after.joints[joint] - start.joints[joint])
    expect(
        distance <= max_distance,
        f"distance of {joint} when stopped before {goal:.3f}",
        f"{distance:.3f}",
        f"at most {max_distance:.3f}",
    )
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
        distance, max_distance = abs(move.after.joints[joint] - start.joints[joint]), abs(goal - start.joints[joint])
        max_distance = max_distance * (stopped_s + subject.options.stop_s) / lasts_s + subject.options.still_joint
        expect(
            distance <= max_distance,
            f"{joint} after a chunk stopped at {stopped_s:.2f} s",
            f"{distance:.4f} before its end",
            f"at most {max_distance:.4f}",
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
    """Motion that was stopped, and the time of the stop [s] after its request."""
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
    expect(bool(sent.blocked), what, f"{str(sent)[:160]}", "Sent.blocked with the stop")
    at_rest(move, subject.options)


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
