from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hosts import OPTIONS, SLOW, Host, wait_for

from robots.command import Command, Done, Grasp, JointTarget, MoveBase, MoveJoint, RotateBase, Stop
from robots.errors import ConnectionFailed, RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executor import Executor
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.observation import Observation
from robots.robot import Sent


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(FakeRobot())
    with host.executor:
        yield host


@pytest.fixture
def slow() -> Iterator[Host]:
    host = Host(FakeRobot(SLOW))
    with host.executor:
        yield host


def test_it_executes_a_fresh_order_and_says_what_was_sent(host: Host) -> None:
    result = host.do(MoveBase(0.1))
    assert result.sent == Sent(MoveBase(0.1))
    assert host.robot.pose == pytest.approx((0.1, 0.0, 0.0))
    assert result.duration_s > 0.1 / 0.3
    assert result.age_s is not None
    assert 0 <= result.age_s < 4.0
    assert not result.stopped
    assert result.stamp_ns < result.began_ns < time.monotonic_ns()


def test_a_new_observation_follows_every_order(host: Host) -> None:
    result = host.do(MoveBase(0.05))
    wait_for(lambda: host.observations[-1].stamp_ns > result.after_ns)
    assert result.after_ns >= result.stamp_ns


def test_a_stale_order_moves_nothing(host: Host) -> None:
    order = host.order(MoveBase(0.1), valid_for_s=0.05)
    time.sleep(0.1)
    host.executor.submit(order)
    assert host.results[0].sent.refused.startswith("stale: the observation is ")
    assert host.robot.pose == (0.0, 0.0, 0.0)


def test_a_replayed_order_moves_nothing(host: Host) -> None:
    result = host.do(MoveBase(0.05))
    host.executor.submit(CommandRequest(result.stamp_ns, MoveBase(0.05), 100.0, host.lease))
    assert "replayed" in host.results[0].sent.refused
    assert host.robot.pose[0] == pytest.approx(0.05)


def test_an_unknown_stamp_moves_nothing(host: Host) -> None:
    result = host.do(MoveBase(0.1), stamp_ns=12)
    assert result.sent.refused == "unknown: no observation with stamp 12 was handed out lately"
    assert result.age_s is None


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (MoveBase(math.nan), "MoveBase.distance_m: got nan, expected a finite number"),
        (RotateBase(math.inf), "RotateBase.angle_rad: got inf, expected a finite number"),
        (MoveBase(5.0), "base step of 5.000 m is beyond the longest step of 0.200 m"),
        (MoveJoint("joint_tail", 0.1), "stretch_re1 has no joint 'joint_tail'"),
        (JointTarget(("joint_lift",), (0.1, 0.2)), "1 joints but 2 positions"),
    ],
)
def test_what_the_limits_refuse_is_refused_by_name(host: Host, command: Command, refusal: str) -> None:
    assert refusal in host.do(command).sent.refused
    assert host.executor.status.counts == {"refused": 1}


def test_a_target_beyond_the_range_is_clipped_and_reported(host: Host) -> None:
    host.robot.positions["joint_arm"] = 0.5
    result = host.do(MoveJoint("joint_arm", 0.1))
    assert result.sent.clipped == ("joint_arm",)
    assert host.robot.positions["joint_arm"] == pytest.approx(0.52)


def test_a_blocked_motion_is_reported(host: Host) -> None:
    host.robot.pose = (3.0, 0.0, 0.0)
    assert host.do(MoveBase(0.1)).sent.blocked == "contact with the arena wall"
    assert host.executor.status.counts == {"started": 1, "blocked": 1}


def test_a_second_order_while_one_runs_is_refused_not_queued(slow: Host) -> None:
    slow.executor.submit(slow.order(MoveBase(0.05)))
    wait_for(lambda: slow.executor.status.state == "moving")
    slow.executor.submit(CommandRequest(slow.observations[-1].stamp_ns, MoveBase(0.05), 10.0, slow.lease))
    assert slow.results[0].sent.refused == "busy: another command is running"
    wait_for(lambda: len(slow.results) == 2)
    time.sleep(0.1)
    assert slow.robot.pose[0] == pytest.approx(0.05)


def test_stop_ends_a_motion_and_voids_what_was_decided_before(slow: Host) -> None:
    slow.executor.submit(slow.order(MoveBase(0.2)))
    wait_for(lambda: slow.robot.pose[0] > 0.003)
    late = CommandRequest(slow.observations[-1].stamp_ns, MoveBase(0.2), 10.0, slow.lease)
    assert slow.executor.stop("operator stop")
    assert slow.stops == ["operator stop"]
    wait_for(lambda: slow.results)
    assert slow.results[0].stopped == "operator stop"
    assert slow.results[0].sent.blocked == "stopped"
    stood_at = slow.robot.pose
    assert stood_at[0] < 0.2
    slow.executor.submit(late)
    wait_for(lambda: len(slow.results) == 2)
    assert slow.results[1].sent.refused
    assert slow.robot.pose == stood_at
    slow.results.clear()
    assert slow.do(MoveBase(0.01)).sent.executed


def test_a_stop_between_taking_and_starting_an_order_still_stops(slow: Host) -> None:
    began, go = threading.Event(), threading.Event()
    execute = slow.robot.execute

    def slow_to_start(command: Command) -> Sent:
        began.set()
        go.wait(10.0)
        return execute(command)  # clears an earlier stop request, as a robot does at the start of a motion

    slow.robot.execute = slow_to_start  # type: ignore[method-assign]
    slow.executor.submit(slow.order(MoveBase(0.2)))
    began.wait(10.0)
    stopper = threading.Thread(target=slow.executor.stop, args=("early",))
    stopper.start()
    wait_for(lambda: slow.executor.status.last_stop == "early")
    go.set()
    stopper.join()
    assert slow.robot.pose[0] < 0.15
    assert not slow.robot.moving


def test_the_runstop_is_latched(host: Host) -> None:
    assert host.executor.runstop(True)
    result = host.do(MoveBase(0.1))
    assert result.sent.refused == result.stopped == "runstop: the runstop is on"
    assert host.executor.status.state == "runstop"
    host.executor.runstop(False)
    assert host.do(MoveBase(0.1)).sent.executed
    assert host.stops == ["runstop: the runstop is on"]


def test_a_stop_command_is_executed_whatever_its_stamp(host: Host) -> None:
    host.executor.submit(CommandRequest(1, Stop(), 0.0))
    assert host.results[0].sent == Sent(Stop())
    assert host.stops == ["stop command"]


def test_it_stops_once_when_orders_cease(host: Host) -> None:
    host.do(MoveBase(0.05))
    wait_for(lambda: host.stops)
    assert host.stops[0].startswith("no fresh order for ")
    time.sleep(1.0)
    assert len(host.stops) == 1
    assert host.do(MoveBase(0.05)).sent.executed, "a fresh order begins anew"


def test_no_orders_are_missed_after_done(host: Host) -> None:
    assert host.do(Done()).sent.executed
    time.sleep(1.3)
    assert host.stops == []


def test_a_frozen_camera_stops_and_refuses() -> None:
    host = Host(FakeRobot(FakeOptions(freeze_camera_after_s=0.3)))
    with host.executor:
        wait_for(lambda: host.stops)
        assert host.stops[0].startswith("camera frozen: no new observation for ")
        host.executor.submit(CommandRequest(host.observations[-1].stamp_ns, MoveBase(0.1), 10.0, host.lease))
        assert host.results[0].sent.refused.startswith("camera frozen")
        assert host.executor.status.state == "held"
        time.sleep(0.7)
        assert len(host.stops) == 1


def test_a_failing_camera_stops_and_refuses_with_its_error() -> None:
    host = Host(FakeRobot(FakeOptions(fail_observe_after_s=0.2)))
    with host.executor:
        wait_for(lambda: host.stops)
        assert host.stops == ["camera failed: ConnectionError: fake camera unplugged"]
        host.executor.submit(CommandRequest(host.observations[-1].stamp_ns, MoveBase(0.1), 10.0, host.lease))
        assert host.results[0].sent.refused == "camera failed: ConnectionError: fake camera unplugged"


def test_a_camera_that_blocks_counts_as_frozen_and_recovers(host: Host) -> None:
    release, observe = threading.Event(), host.robot.observe

    def stuck() -> Observation:
        release.wait(15.0)
        return observe()

    host.robot.observe = stuck  # type: ignore[method-assign]
    wait_for(lambda: host.stops)
    assert host.stops[0].startswith("camera frozen")
    release.set()
    wait_for(lambda: not host.executor.status.reason)
    assert host.do(MoveBase(0.05)).sent.executed


def test_a_driver_that_raises_counts_as_blocked(host: Host) -> None:
    def broken(command: Command) -> Sent:
        raise OSError("serial line gone")

    host.robot.execute = broken  # type: ignore[method-assign]
    assert host.do(MoveBase(0.1)).sent.blocked == "OSError: serial line gone"


def test_a_stop_that_fails_is_reported(host: Host) -> None:
    def broken() -> None:
        raise OSError("serial line gone")

    stop, host.robot.stop = host.robot.stop, broken  # type: ignore[method-assign]
    assert not host.executor.stop("test")
    assert host.stops == ["test; the robot's stop failed: OSError: serial line gone"]
    host.executor.submit(CommandRequest(1, Stop(), 0.0))
    assert host.results[0].sent.blocked == "the robot has not come to rest"
    host.robot.stop = stop  # type: ignore[method-assign]


def test_a_restart_voids_what_was_decided_before_it(host: Host) -> None:
    order = host.order(MoveBase(0.1))
    assert host.executor.restart(lambda: threading.current_thread().name) == "body"
    host.executor.submit(order)
    assert host.results[0].sent.refused == host.results[0].stopped == "lease ended: reset; begin a new trial"
    host.results.clear()
    assert host.do(MoveBase(0.05)).sent.executed


def test_jobs_run_in_the_one_body_thread(host: Host) -> None:
    assert host.executor.call(lambda: threading.current_thread().name) == "body"
    with pytest.raises(ZeroDivisionError):
        host.executor.call(lambda: 1 // 0)


def test_closing_during_a_motion_stops_and_names_the_reason() -> None:
    host = Host(FakeRobot(SLOW))

    def interrupted() -> None:
        with host.executor:
            host.executor.submit(host.order(MoveBase(0.2)))
            wait_for(lambda: host.robot.moving)
            raise KeyboardInterrupt("ctrl-c")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not host.robot.moving
    assert host.robot.pose[0] < 0.2
    assert host.stops == ["KeyboardInterrupt: ctrl-c"]
    assert host.executor.status.state == "closed"
    host.executor.submit(CommandRequest(1, MoveBase(0.1), 1.0, host.lease))
    assert host.results[-1].sent.refused == "closed: the executor is closed"


def test_a_body_that_cannot_connect_says_so_at_start() -> None:
    def unplugged() -> None:
        raise ConnectionFailed("no arm on can0; is it plugged in?")

    robot = FakeRobot()
    robot.connect = unplugged  # type: ignore[method-assign]
    with pytest.raises(ConnectionFailed, match="no arm on can0"), Executor(robot, OPTIONS):
        pass


def test_grasp_is_remembered_as_executed(host: Host) -> None:
    assert host.do(Grasp()).sent.executed
    assert host.executor.status.counts == {"started": 1, "executed": 1}
    assert host.executor.status.observation_age_s is not None


def test_what_was_decided_during_the_runstop_is_void_after_it(host: Host) -> None:
    host.executor.runstop(True)
    order = host.order(MoveBase(0.1))
    host.executor.runstop(False)
    host.executor.submit(replace(order, lease=host.begin()))
    assert host.results[0].sent.refused == "void: decided before the robot stopped (runstop)"
    assert host.robot.pose == (0.0, 0.0, 0.0)


def test_a_motion_that_takes_too_long_is_stopped() -> None:
    host = Host(FakeRobot(SLOW), replace(OPTIONS, longest_motion_s=0.2))
    with host.executor:
        result = host.do(MoveBase(0.2))
        assert host.stops == ["the motion took longer than 0.2 s"]
        assert result.stopped == "the motion took longer than 0.2 s"
        assert result.sent.blocked == "stopped"
        assert host.robot.pose[0] < 0.2
        wait_for(lambda: not host.executor.status.reason)  # the next one may begin


def test_a_listener_of_observations_that_fails_stops_the_body_once_and_is_survived(host: Host) -> None:
    def full(_: Observation) -> None:
        raise OSError("no space left")

    host.on_observation = full
    wait_for(lambda: host.stops)
    time.sleep(0.2)
    assert host.stops == ["OSError: no space left"]
    assert host.executor.status.state == "held"
    host.on_observation = host.observations.append
    wait_for(lambda: not host.executor.status.reason)
    assert host.do(MoveBase(0.05)).sent.executed


def test_a_listener_of_results_that_fails_does_not_leave_it_busy(host: Host) -> None:
    def full(_: CommandResult) -> None:
        raise OSError("no space left")

    host.on_result = full
    host.executor.submit(host.order(MoveBase(0.05)))
    wait_for(lambda: host.stops)
    assert host.stops == ["OSError: no space left"]
    host.on_result = host.results.append
    wait_for(lambda: not host.executor.status.reason)
    assert host.do(MoveBase(0.05)).sent.executed


def test_a_listener_of_stops_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: str) -> None:
        raise OSError("no space left")

    with Executor(FakeRobot(), OPTIONS, on_stop=full) as executor:
        assert executor.stop("operator stop")
    assert "a listener failed at the stop: operator stop" in caplog.text


def test_a_job_without_an_answer_in_time_is_an_error_and_never_begins(host: Host) -> None:
    go, began = threading.Event(), []
    hanging = threading.Thread(target=host.executor.call, args=(lambda: go.wait(5.0),))
    hanging.start()
    with pytest.raises(RobotError, match=r"stretch_re1: no answer within 0\.1 s"):
        host.executor.call(lambda: began.append(1), timeout_s=0.1)
    go.set()
    hanging.join()
    assert host.executor.call(lambda: began) == []


def test_closing_answers_the_jobs_that_wait() -> None:
    host, go, errors = Host(FakeRobot(), replace(OPTIONS, stop_timeout_s=0.2)), threading.Event(), []

    def wait() -> None:
        try:
            host.executor.call(lambda: None)
        except RobotError as error:
            errors.append(str(error))

    began = threading.Event()

    def hang() -> None:
        began.set()
        go.wait(15.0)

    with host.executor:
        threads = [
            threading.Thread(target=host.executor.call, args=(hang,)),
            threading.Thread(target=wait),
        ]
        threads[0].start()
        wait_for(began.is_set)
        threads[1].start()
        wait_for(lambda: host.executor._jobs)
    threads[1].join(10.0)
    go.set()
    threads[0].join()
    assert errors == ["closed: the executor is closed"]
    with pytest.raises(RobotError, match="closed: the executor is closed"):
        host.executor.call(lambda: None)
