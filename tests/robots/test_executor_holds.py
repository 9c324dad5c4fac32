"""What keeps a robot from moving while an executor runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hosts import OPTIONS, SLOW, Host, wait_for

from robots.command import Chunk, Done, MoveBase, MoveJoint
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.execution.interlocks import InterlockOptions
from robots.fakes.kinematic import FakeRobot
from robots.observation import Observation
from robots.robot import Health, Sent
from robots.spec import VectorSpec


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(FakeRobot())
    with host.executor:
        yield host


def test_shadow_judges_and_sends_nothing() -> None:
    host = Host(FakeRobot(), replace(OPTIONS, shadow=True))
    with host.executor:
        assert host.do(MoveBase(0.1)).sent == Sent(MoveBase(0.1), refused="shadow: nothing is sent to the robot")
        host.robot.positions["joint_arm"] = 0.5
        assert host.do(MoveJoint("joint_arm", 0.1)).sent.clipped == ("joint_arm",)
        assert host.do(MoveBase(9.0)).sent.refused.startswith("base step of 9.000 m")
        assert host.do(Done()).sent.executed
        assert host.robot.pose == (0.0, 0.0, 0.0)


def test_a_fault_of_the_body_stops_a_motion_and_holds_until_it_is_gone() -> None:
    host = Host(FakeRobot(SLOW))
    with host.executor:
        check_fault_of_the_body(host)


def check_fault_of_the_body(host: Host) -> None:
    host.executor.submit(host.order(MoveBase(0.2)))
    wait_for(lambda: host.robot.pose[0] > 0.003)
    host.robot.health = lambda: Health(fault="bus-off: no answer")  # type: ignore[method-assign]
    wait_for(lambda: host.results)
    result = host.results.pop()
    assert (result.sent.blocked, result.stopped) == ("stopped", "bus-off: no answer")
    assert host.robot.pose[0] < 0.2
    assert host.do(MoveBase(0.1)).sent.refused == "bus-off: no answer"
    assert host.executor.status.state == "held"
    before = host.order(MoveBase(0.1))
    del host.robot.health
    wait_for(lambda: not host.executor.status.reason)
    host.executor.submit(before)
    assert host.results.pop().sent.refused == "lease ended: bus-off: no answer; begin a new trial"
    assert host.do(MoveBase(0.01)).sent.executed


def test_a_body_that_cannot_be_asked_must_not_move(host: Host) -> None:
    def broken() -> Health:
        raise OSError("gone")

    host.robot.health = broken  # type: ignore[method-assign]
    wait_for(lambda: host.stops)
    assert host.do(MoveBase(0.1)).sent.refused == "health failed: OSError: gone"


def test_a_required_pulse_that_ceases_stops_a_motion() -> None:
    host, moving = Host(FakeRobot(SLOW)), threading.Event()
    host.executor.expect("supervisor", 1.0)

    def beat() -> None:
        while not moving.wait(0.02):
            host.executor.beat("supervisor")

    beating = threading.Thread(target=beat)
    with host.executor:
        assert host.do(MoveBase(0.1)).sent.refused == "supervisor lost: it was not heard yet"
        beating.start()
        wait_for(lambda: not host.executor.status.reason)
        host.executor.submit(host.order(MoveBase(0.2)))
        wait_for(lambda: host.robot.moving)
        moving.set()
        beating.join()
        wait_for(lambda: host.results)
        assert host.results[0].stopped.startswith("supervisor lost: not heard for 1.")
        assert host.robot.pose[0] < 0.2


def test_a_chunk_is_followed_row_by_row_and_a_jump_is_refused() -> None:
    vector = VectorSpec(("joint_lift", "joint_arm"), ("m", "m"), (0.0, 0.0), (1.0, 0.5))
    host = Host(FakeRobot(body=replace(STRETCH_RE1, chunks=(vector,))))
    with host.executor:
        lift, arm = host.robot.positions["joint_lift"], host.robot.positions["joint_arm"]
        rows = ((lift + 0.01, arm), (lift + 0.02, arm + 0.01))
        result = host.do(Chunk(vector.names, rows, 0.1))
        assert result.sent.executed
        assert result.duration_s > 0.19
        assert host.robot.positions["joint_arm"] == pytest.approx(arm + 0.01)
        refused = host.do(Chunk(vector.names, ((lift + 0.3, arm),), 0.1)).sent.refused
        assert refused.startswith("jump: row 0 moves joint_lift by 0.2")
        assert host.do(Chunk(("joint_lift",), ((lift,),), 0.1)).sent.refused.startswith("stretch_re1 takes no chunk of")


def test_an_order_that_comes_while_it_closes_moves_nothing() -> None:
    host = Host(FakeRobot())
    stop = host.robot.stop

    def slow_to_stop() -> None:
        del host.robot.stop
        host.executor.submit(host.order(MoveBase(0.2)))
        stop()

    with host.executor:
        wait_for(lambda: host.observations)
        host.robot.stop = slow_to_stop  # type: ignore[method-assign]
    assert host.results[0].sent.refused == "closed: the executor was closed"
    assert host.robot.pose == (0.0, 0.0, 0.0)


def test_what_was_sensed_before_a_stop_is_not_handed_out_after_it(host: Host) -> None:
    sensed, go = threading.Event(), threading.Event()
    observe, stamps = host.robot.observe, []

    def slow() -> Observation:
        observation = observe()
        stamps.append(observation.stamp_ns)
        sensed.set()
        go.wait(2.0)
        return observation

    host.robot.observe = slow  # type: ignore[method-assign]
    sensed.wait(2.0)
    host.executor.stop("operator stop")
    go.set()
    wait_for(lambda: len(stamps) > 2 and host.observations[-1].stamp_ns > stamps[0])
    assert stamps[0] not in [one.stamp_ns for one in host.observations]


def test_nothing_moves_that_is_not_watched(host: Host) -> None:
    host.robot.health = lambda: None  # type: ignore[assignment,method-assign,return-value]
    wait_for(lambda: host.stops)
    del host.robot.health
    reason = "watch failed: AttributeError: 'NoneType' object has no attribute 'runstop'"
    assert host.stops == [reason]
    assert host.do(MoveBase(0.1)).sent.refused == reason


def test_a_stop_that_takes_long_is_not_taken_for_sleep() -> None:
    host = Host(FakeRobot(), replace(OPTIONS, interlocks=InterlockOptions(asleep_s=1.0)))
    host.executor.expect("policy", 0.3)
    stop = host.robot.stop

    def slow_to_stop() -> None:
        time.sleep(1.2)
        stop()

    with host.executor:
        host.robot.stop = slow_to_stop  # type: ignore[method-assign]
        host.executor.beat("policy")
        wait_for(lambda: host.stops)
        time.sleep(0.2)
        assert [reason[:11] for reason in host.stops] == ["policy lost"]
