"""Protocol of every robot: fakes, twins and drivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, TypeVar, runtime_checkable

from robots.command import Chunk, Command
from robots.embodiment import Embodiment
from robots.observation import Observation


@dataclass(frozen=True)
class Sent:
    """Outcome of a command.

    Attributes:
        command: the command as it was sent, after limits; as it was requested when it was refused.
        clipped: names of the fields that limits changed.
        refused: reason why nothing was sent; empty when it was sent.
        blocked: reason why the motion, although sent, did not start or complete (contact, runstop); empty otherwise.
            A blocked move of a discrete step moves nothing.
        ended: a simulator judges that the episode's task is done, and plays no more of it; a real robot never does.
    """

    command: Command
    clipped: tuple[str, ...] = ()
    refused: str = ""
    blocked: str = ""
    ended: bool = False

    @property
    def executed(self) -> bool:
        """True when the command was sent and its motion completed."""
        return not self.refused and not self.blocked


@dataclass(frozen=True)
class Health:
    """Health as the robot reports it.

    Attributes:
        runstop: the robot's own emergency stop (a button, a firmware latch) is on.
        fault: reason why it must not move; begins with a code that is stable for programs ("bus-off: ...", "feedback
            stale: ...", "not homed: ..."). Empty when it may move.
        battery: charge in [0, 1]; None where the robot does not report it.
        notes: further values for display, by name, e.g. {"voltage_v": 12.1}.
    """

    runstop: bool = False
    fault: str = ""
    battery: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


class Robot(Protocol):
    """Interface of a robot. Context manager: `with robot:` connects, and always stops and disconnects."""

    @property
    def spec(self) -> Embodiment:
        """Embodiment of the robot; readable before `connect()`."""

    def connect(self) -> None:
        """Connects; called once before anything else. Raises ConnectionFailed, whose message names what to check."""

    def observe(self) -> Observation:
        """Returns the newest complete observation, stamped when it was sensed; called once per control period."""

    def execute(self, command: Command) -> Sent:
        """Executes a command; returns when the motion has ended, was refused or was blocked. Never raises for a
        command outside the limits: it clips or refuses, and reports that in `Sent`."""

    def stop(self) -> None:
        """Stops with the robot's own semantics and interrupts a running `execute`. Idempotent; any thread may call it
        at any time."""

    def health(self) -> Health:
        """Returns the health last received. Called many times a second from another thread, also while `execute` runs:
        it does not block and never raises."""

    def disconnect(self) -> None:
        """Disconnects; called once at the end, after `stop()`."""

    def __enter__(self) -> Robot:
        """Connects."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops and disconnects, also after an exception."""


@runtime_checkable
class JoinsChunks(Protocol):
    """A robot that goes on from one chunk to the next without a pause; `observe` may be called while `execute` runs."""

    @property
    def following(self) -> bool:
        """Whether `execute` plays a chunk that another may be joined on to. Any thread may ask at any time."""

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk` on to the one that `execute` plays, which then returns at the end of both; does not wait.

        `sensed_ns` is the stamp of the observation that it was decided from. Refused, and the running chunk goes on
        unchanged: as `execute`, and when there is none, or a stop came, before the whole path was checked. Any thread.
        """


RobotT = TypeVar("RobotT", bound=Robot)


class Connected:
    """Mixin: the parts of `Robot` that are the same for every robot."""

    def health(self) -> Health:
        """Default of a robot that reports no health: no fault."""
        return Health()

    def __enter__(self: RobotT) -> RobotT:
        self.connect()
        return self

    def __exit__(
        self: RobotT, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self.disconnect()
