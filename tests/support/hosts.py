"""An executor with a fake robot, and everything it reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from robots.command import Command
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executor import Executor, ExecutorOptions
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.observation import Observation

OPTIONS = ExecutorOptions(control_period_s=4.0, observe_period_s=0.05, silence_periods=0.25, frozen_periods=0.5)
"""A machine that stalls for a second makes no decision stale and no camera frozen."""

SLOW = FakeOptions(speed=0.1)
"""A step of 0.2 m takes 7 s: it is still under way when a test does something during it."""


class Host:
    """An executor with a fake robot, and everything it reported."""

    def __init__(self, robot: FakeRobot, options: ExecutorOptions = OPTIONS) -> None:
        self.robot = robot
        self.observations: list[Observation] = []
        self.results: list[CommandResult] = []
        self.stops: list[str] = []
        self.lease = ""
        self.on_observation: Callable[[Observation], object] = self.observations.append
        self.on_result: Callable[[CommandResult], object] = self.results.append
        self.executor = Executor(
            robot,
            options,
            on_observation=lambda observation: self.on_observation(observation),
            on_result=lambda result: self.on_result(result),
            on_stop=lambda reason, _: self.stops.append(reason),
        )

    def begin(self) -> str:
        """Takes the lease, as a new trial does."""
        self.lease = self.executor.begin()
        return self.lease

    def order(self, command: Command, **changes: float) -> CommandRequest:
        """A request from the next observation, under a new lease where the last has ended and one is handed out."""
        with suppress(RobotError):
            self.begin()
        seen = len(self.observations)
        wait_for(lambda: len(self.observations) > seen)
        order = CommandRequest(self.observations[-1].stamp_ns, command, valid_for_s=4.0, lease=self.lease)
        return replace(order, **changes)  # type: ignore[arg-type]

    def do(self, command: Command, **changes: float) -> CommandResult:
        self.executor.submit(self.order(command, **changes))
        wait_for(lambda: len(self.results) == 1)
        return self.results.pop()


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
