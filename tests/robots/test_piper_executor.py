"""The Piper under the one executor: chunk after chunk, and what an e-stop or a dead arm leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from piper_bus import FakeProcess

from robots.arms.action_chunks import POSE
from robots.command import Chunk, Command, JointTarget
from robots.drivers.piper.driver import PiperRobot
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executor import Executor, ExecutorOptions
from robots.observation import Observation

for module in ("piper_sdk", "can", "pinocchio"):
    pytest.importorskip(module, reason="the extras `piper` and `arm` are not installed")

UP = Chunk((*POSE, "gripper"), ((0.0, 0.0, 0.005, 0.0, 0.0, 0.0, 0.5),) * 4, 0.1)
FAR = JointTarget(("joint1",), (1.5,))


class Host:
    """An executor with the driver, and everything it reported."""

    def __init__(self, robot: PiperRobot) -> None:
        self.robot = robot
        self.observations: list[Observation] = []
        self.results: list[CommandResult] = []
        self.stops: list[str] = []
        self.lease = ""
        self.executor = Executor(
            robot,
            ExecutorOptions(control_period_s=1.0, observe_period_s=0.05),
            on_observation=self.observations.append,
            on_result=self.results.append,
            on_stop=lambda reason, _: self.stops.append(reason),
        )

    def submit(self, command: Command) -> None:
        with suppress(RobotError):  # the lease is held already
            self.lease = self.executor.begin()
        seen = len(self.observations)
        wait_for(lambda: len(self.observations) > seen)
        self.executor.submit(CommandRequest(self.observations[-1].stamp_ns, command, 1.0, self.lease))

    def do(self, command: Command) -> CommandResult:
        self.submit(command)
        wait_for(lambda: self.results)
        return self.results.pop()

    def joint1(self) -> float:
        return float(self.observations[-1].state["joints"][0])


def wait_for(condition: Callable[[], object], timeout_s: float = 8.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def fake() -> Iterator[FakeProcess]:
    with FakeProcess() as one:
        yield one


@pytest.fixture
def host(fake: FakeProcess) -> Iterator[Host]:
    made = Host(PiperRobot(fake.options(speed=0.2)))
    with made.executor:
        yield made


def test_chunks_follow_one_another(host: Host) -> None:
    wait_for(lambda: host.observations)
    begun = host.observations[-1].state["tip"][2]
    for _ in range(2):
        result = host.do(UP)
        assert result.sent.executed, result
        assert result.stopped == ""
    wait_for(lambda: host.observations[-1].state["tip"][2] > begun + 0.035)


def test_an_emergency_stop_ends_the_motion_and_refuses_what_comes_after(fake: FakeProcess, host: Host) -> None:
    threading.Timer(0.5, fake.fail, ("estop",)).start()
    result = host.do(FAR)
    assert not result.sent.executed
    reasons = result.sent.blocked + result.stopped
    assert "e-stop" in reasons or "runstop" in reasons  # what was seen first: the arm's state, or its health
    assert any("e-stop" in reason or "runstop" in reason for reason in host.stops)
    seen = len(host.observations)
    wait_for(lambda: len(host.observations) > seen + 1)  # one of after the stop
    at = host.joint1()
    refused = host.do(FAR)
    assert "e-stop" in refused.sent.refused or "runstop" in refused.sent.refused
    time.sleep(0.3)
    assert host.joint1() == pytest.approx(at, abs=0.02)


def test_a_dead_arm_ends_the_motion_and_nothing_is_left_to_do(fake: FakeProcess, host: Host) -> None:
    threading.Timer(0.5, fake.process.kill).start()
    result = host.do(FAR)
    assert not result.sent.executed
    assert "feedback stale" in result.sent.blocked + result.stopped
    assert "feedback stale" in host.executor.status.reason
    host.executor.submit(CommandRequest(host.observations[-1].stamp_ns, UP, 1.0, host.lease))
    wait_for(lambda: host.results)
    assert host.results.pop().sent.refused


def test_silence_of_the_policy_lets_the_arm_hold(host: Host) -> None:
    assert host.do(UP).sent.executed
    wait_for(lambda: any("no fresh order" in reason for reason in host.stops))
    assert host.robot.health().fault == ""
    assert host.do(UP).sent.executed
