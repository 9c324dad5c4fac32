"""Checks of connecting, disconnecting, and of health and spec without motion."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from robots.command import Done
from robots.conformance.judge import arrived
from robots.conformance.steps import drive, joint_step, movable
from robots.conformance.subject import Subject
from robots.conformance.verdict import Failed, NotApplicable, expect
from robots.embodiment import Embodiment
from robots.errors import ConnectionFailed, NotConnected
from robots.robot import Health, Robot

HEALTH_CALLS = 21


def spec_is_readable_before_connect(subject: Subject) -> None:
    """`spec` can be read before `connect()` and is lossless in JSON."""
    spec = subject.fresh().spec
    expect(isinstance(spec, Embodiment), "spec before connect()", type(spec).__name__, "an Embodiment")
    again = Embodiment.from_json(json.loads(json.dumps(spec.to_json())))
    expect(again == spec, "spec after a JSON round trip", again, spec)


def nothing_works_before_connect(subject: Subject) -> None:
    """Before `connect()`, `observe()` and `execute()` raise NotConnected; `stop()`, `health()` and `disconnect()` do
    not raise."""
    robot = subject.fresh()
    _refuses_work(subject, robot, "before connect()")
    _does_not_raise("before connect()", stop=robot.stop, health=robot.health, disconnect=robot.disconnect)


def nothing_works_after_disconnect(subject: Subject) -> None:
    """After `disconnect()` it is as before `connect()`; `stop()` and `disconnect()` may be called twice."""
    robot = subject.fresh()
    subject.connect()
    subject.disconnect()
    _refuses_work(subject, robot, "after disconnect()")
    _does_not_raise("after disconnect()", stop=robot.stop, health=robot.health, disconnect=robot.disconnect)


def the_same_object_connects_again(subject: Subject) -> None:
    """After `disconnect()` the same object can be connected, observes and moves."""
    subject.fresh()
    subject.connect()
    first = subject.observe().stamp_ns
    subject.disconnect()
    subject.connect()
    second = subject.observe().stamp_ns
    expect(second > first, "stamp after a second connect()", second, f"one after {first}")
    _moves(subject)


def a_context_stops_and_disconnects(subject: Subject) -> None:
    """`with robot:` connects; an exception in it leads to `stop()`, then `disconnect()`, and goes on outwards."""
    robot = subject.fresh()
    calls: list[str] = []
    _spy(robot, "stop", calls)
    _spy(robot, "disconnect", calls)

    def use() -> None:
        with robot:
            robot.observe()
            calls.clear()  # a driver may stop while it connects
            raise KeyboardInterrupt("planted by the suite")

    try:
        subject.call("with robot: ...", use, 2 * subject.options.connect_s)
    except KeyboardInterrupt as error:
        expect("planted" in str(error), "exception out of `with robot:`", error, "the one raised inside")
    else:
        raise Failed("exception out of `with robot:`", "none", "the one raised inside")
    expect(calls[:1] == ["stop"] and "disconnect" in calls, "calls at the exception", calls, ["stop", "disconnect"])
    _refuses_work(subject, robot, "after the context")


def a_second_driver_is_refused(subject: Subject) -> None:
    """While one object drives the hardware, `connect()` of a second raises ConnectionFailed, and the first works on."""
    if not subject.options.exclusive:
        raise NotApplicable("options.exclusive is off: no hardware that two could drive")
    subject.observe()
    second = subject.make()
    try:
        second.connect()
    except ConnectionFailed as error:
        expect(bool(str(error)), "ConnectionFailed of a second connect()", "no message", "who drives the robot")
    else:
        second.disconnect()
        raise Failed("connect() of a second object", "a connection", "ConnectionFailed")
    subject.observe()


def health_is_told_at_once(subject: Subject) -> None:
    """`health()` of a robot that may move returns at once, without runstop or fault."""
    robot = subject.robot
    subject.observe()
    health = _timed_health(robot, subject.options.health_s)
    expect(not health.runstop, "health().runstop", health.runstop, "False: release the runstop for this suite")
    expect(not health.fault, "health().fault", repr(health.fault), "'' for a body that may move")
    charge = health.battery
    expect(charge is None or 0.0 <= charge <= 1.0, "health().battery", charge, "None or a fraction in [0, 1]")


def _timed_health(robot: Robot, limit_s: float) -> Health:
    times = []
    for _ in range(HEALTH_CALLS):
        began = time.monotonic()
        health = robot.health()
        times.append(time.monotonic() - began)
        expect(isinstance(health, Health), "health()", repr(health), "a Health")
    took = statistics.median(times)
    expect(took <= limit_s, "health()", f"an answer after {took:.3f} s", f"at most {limit_s} s")
    return health


def _refuses_work(subject: Subject, robot: Robot, when: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "observe()": robot.observe,
        "execute(Done())": lambda: robot.execute(Done()),
    }
    for name, job in calls.items():
        try:
            got = f"{subject.call(f'{name} {when}', job, subject.options.motion_s)}"[:80]
        except NotConnected:
            continue
        except Failed:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        raise Failed(f"{name} {when}", got, "NotConnected")


def _does_not_raise(when: str, **jobs: Callable[[], object]) -> None:
    for name, job in jobs.items():
        for _ in range(2):
            try:
                job()
            except Exception as error:
                raise Failed(f"{name}() {when}", f"{type(error).__name__}: {error}", "no exception") from error


def _spy(robot: Robot, name: str, calls: list[str]) -> None:
    method = getattr(robot, name)

    def noted() -> None:
        calls.append(name)
        method()

    try:
        setattr(robot, name, noted)
    except AttributeError as error:
        raise NotApplicable(f"{type(robot).__name__}.{name} cannot be watched (slots)") from error


def _moves(subject: Subject) -> None:
    if subject.spec.base is not None:
        command = drive(subject)
        arrived(subject.move(command), subject.options)
        subject.execute(type(command)(-command.distance_m))
        return
    place = subject.place()
    step = joint_step(subject, place, movable(subject)[0])
    arrived(subject.move(step), subject.options)
    subject.execute(type(step)(step.joint, -step.delta))
