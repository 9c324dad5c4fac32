"""A robot behind its executor in this process: every command is checked, and chunks are joined, as over ROS."""

from __future__ import annotations

import threading

from robots.command import Command, Stop
from robots.embodiment import Embodiment
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executor import Executor, ExecutorOptions
from robots.observation import Observation
from robots.robot import Connected, Health, Robot, Sent


class ExecutedRobot(Connected):
    """Drives `robot` through an executor; one thread observes and executes, any may stop.

    Args:
        robot: connected and disconnected with this.
        options: of the executor.
        timeout_s: of an observation and of the result of a command.

    Attributes:
        executor: for holds, heartbeats and its status.
    """

    def __init__(self, robot: Robot, options: ExecutorOptions | None = None, *, timeout_s: float = 10.0) -> None:
        self._robot, self._timeout_s = robot, timeout_s
        self._options = options or ExecutorOptions()
        self._changed = threading.Condition()
        self._newest: Observation | None = None
        self._awaited: CommandRequest | None = None
        self._result: CommandResult | None = None
        self._seen_ns = self._after_ns = -1
        self._lease = self._stopped = ""
        self.executor = Executor(
            robot,
            self._options,
            on_observation=self._take,
            on_result=self._take_result,
            on_stop=self._take_stop,
        )

    @property
    def spec(self) -> Embodiment:
        """That of the robot."""
        return self._robot.spec

    def connect(self) -> None:
        """Connects the robot and begins to observe."""
        self.executor.start()

    def disconnect(self) -> None:
        """Stops the robot and ends the executor."""
        self.executor.close()

    def health(self) -> Health:
        """That of the robot."""
        return self._robot.health()

    def observe(self) -> Observation:
        """The newest observation that shows the effect of the last command. Raises RobotError after a stop."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._stopped or self._has_news(), self._timeout_s):
                raise RobotError(f"{self.spec.name}: no new observation for {self._timeout_s} s; see its cameras")
            if self._stopped:
                raise RobotError(f"{self.spec.name} stopped: {self._stopped}")
            assert self._newest is not None  # it has news
            self._seen_ns = self._newest.stamp_ns
            return self._newest

    def execute(self, command: Command) -> Sent:
        """Submits `command`, decided from the last observation; the first one takes the lease. Waits for its result."""
        if not self._lease and not isinstance(command, Stop):
            self._lease = self.executor.begin()
        valid_for_s = self._options.max_age_periods * self._options.control_period_s
        request = CommandRequest(self._seen_ns, command, valid_for_s, self._lease)
        with self._changed:
            self._awaited, self._result = request, None
        self.executor.submit(request)
        with self._changed:
            if not self._changed.wait_for(lambda: self._result is not None, self._timeout_s):
                raise RobotError(f"{self.spec.name}: no result of the command within {self._timeout_s} s")
            assert self._result is not None  # it answers
            self._after_ns = max(self._after_ns, self._result.after_ns)
            if self._result.stopped:
                raise RobotError(f"{self.spec.name} stopped: {self._result.stopped}")
            return self._result.sent

    def stop(self) -> None:
        """Stops the robot and ends the lease; the next command begins anew."""
        self.executor.stop("stopped by its client")
        with self._changed:
            self._lease = self._stopped = ""
            self._after_ns = self._newest.stamp_ns if self._newest else -1

    def _has_news(self) -> bool:
        return self._newest is not None and self._newest.stamp_ns > self._after_ns

    def _take(self, observation: Observation) -> None:
        with self._changed:
            self._newest = observation
            self._changed.notify_all()

    def _take_result(self, result: CommandResult) -> None:
        """Keeps the result that is awaited: a motion's end has one of its own."""
        with self._changed:
            awaited = self._awaited
            if awaited and (result.stamp_ns, result.lease) == (awaited.stamp_ns, awaited.lease):
                self._result = result
                self._changed.notify_all()

    def _take_stop(self, reason: str, lease: str) -> None:
        with self._changed:
            if lease and lease == self._lease:
                self._stopped = reason
                self._changed.notify_all()
