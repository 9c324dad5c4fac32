"""The robot under test: made, connected, moved and measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from robots.command import Command
from robots.conformance.caller import Caller, nothing
from robots.conformance.options import Options
from robots.conformance.place import Move, Place, Pose
from robots.conformance.verdict import Failed, expect
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.robot import Robot, Sent

T = TypeVar("T")
Make = Callable[[], Robot]


class Subject:
    """Robot that several checks use: created on demand, and connected until the last one.

    As in the executor, one thread observes and moves; `stop`, `health` and `pose` are used from another.

    Args:
        make: makes the robot, not yet connected; called again after a check that disconnected it.
        options: how it is tried.
        slow: creates the same robot with a lower `speed`; None where that is impossible.
    """

    def __init__(self, make: Make, options: Options | None = None, slow: Make | None = None) -> None:
        self.make, self.slow, self.options = make, slow, options or Options()
        self._robot: Robot | None = None
        self._caller = Caller()
        self._connected = False

    @property
    def lost(self) -> str:
        """The call in which the robot hangs; empty when it answers."""
        return self._caller.lost

    @property
    def robot(self) -> Robot:
        """The connected body."""
        if self._robot is None or not self._connected:
            self.fresh()
            self.connect()
        assert self._robot is not None  # `fresh` made it
        return self._robot

    @property
    def spec(self) -> Embodiment:
        """Embodiment of the connected robot."""
        return self.robot.spec

    def fresh(self, make: Make | None = None) -> Robot:
        """A robot that was never connected; the one before is stopped and disconnected."""
        self.close()
        self._caller = Caller()
        self._robot = (make or self.make)()
        return self._robot

    def connect(self) -> None:
        """Connects the robot at hand."""
        assert self._robot is not None
        self._connected = True  # a connection that failed half-way must be closed too
        self.call("connect()", self._robot.connect, self.options.connect_s)

    def disconnect(self) -> None:
        """Stops and disconnects the robot at hand."""
        assert self._robot is not None
        self._connected = False
        self._robot.stop()
        self.call("disconnect()", self._robot.disconnect, self.options.connect_s)

    def close(self) -> None:
        """Stops and disconnects the robot, whatever its state."""
        if self._robot is not None and self._connected:
            try:
                if self.lost:
                    self._robot.stop()  # its thread hangs: nothing more can be asked of it
                else:
                    self.disconnect()
            except Exception:  # checked by the life cycle checks; nothing more can be done here
                logging.getLogger(__name__).warning("the body did not disconnect", exc_info=True)
        self._robot, self._connected = None, False
        self._caller.close()

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, what: str, job: Callable[[], T], limit_s: float) -> T:
        """Calls `job` in the robot's thread; what it raises is raised, Failed when it takes too long."""
        return self._caller.call(what, job, limit_s)

    def observe(self) -> Observation:
        """One observation."""
        robot = self.robot
        try:
            return self.call("observe()", robot.observe, self.options.observe_s)
        except Failed:
            raise
        except Exception as error:
            raise Failed("observe()", f"{type(error).__name__}: {error}", "an Observation") from error

    def place(self) -> Place:
        """Position of the robot, sensed after this call."""
        now_ns = time.monotonic_ns()
        deadline = time.monotonic() + self.options.observe_s
        time.sleep(self.options.lag_s)
        seen = self.observe()
        while seen.stamp_ns < now_ns:
            if time.monotonic() > deadline:
                age = (time.monotonic_ns() - seen.stamp_ns) / 1e9
                raise Failed("observe()", f"nothing newer than {age:.2f} s", "an observation of now")
            seen = self.observe()
        return Place(seen.stamp_ns, self._joints(seen), self.pose())

    def pose(self) -> Pose | None:
        """Pose of the base, from any thread; None without a base."""
        if self._robot is None or self._robot.spec.base is None:
            return None
        pose = getattr(self._robot, "pose", None)
        expect(pose is not None, "pose of a body with a base", pose, "(x, y, yaw)")
        assert pose is not None
        x, y, yaw = pose
        return float(x), float(y), float(yaw)

    def execute(self, command: Command, during: Callable[[float], None] = nothing) -> Sent:
        """Executes `command` while `during(seconds)` runs in this thread, which is not the robot's."""
        robot = self.robot
        try:
            sent = self._caller.call(
                f"execute({command})", lambda: robot.execute(command), self.options.motion_s, during
            )
        except Failed:
            robot.stop()
            raise
        except Exception as error:
            raise Failed(
                f"execute({command})", f"{type(error).__name__}: {error}", "a Sent; it never raises"
            ) from error
        expect(isinstance(sent, Sent), f"execute({command})", repr(sent), "a Sent")
        return sent

    def move(self, command: Command, during: Callable[[float], None] = nothing) -> Move:
        """Executes `command` and measures where the robot was before, at its return and a while later."""
        before = self.place()
        began_ns = time.monotonic_ns()
        sent = self.execute(command, during)
        ended_ns = time.monotonic_ns()
        returned = self.place()
        time.sleep(self.options.settle_s)
        return Move(command, sent, before, returned, self.place(), began_ns, ended_ns)

    def _joints(self, seen: Observation) -> dict[str, float]:
        spec = self.spec
        named: dict[str, float] = {}
        for group, vector in seen.state.items():
            if group in spec.state:
                named.update(zip(spec.state[group].names, vector.tolist()))
        return {name: value for name, value in named.items() if name in spec.joints}
