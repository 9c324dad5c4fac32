"""The protocol every body follows: fake, twin and driver alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, TypeVar

from robots.command import Command
from robots.embodiment import Embodiment
from robots.observation import Observation


@dataclass(frozen=True)
class Sent:
    """What became of a command.

    Attributes:
        command: what was really sent to the body, after limits; what was asked when it was refused.
        clipped: names of the fields that limits changed.
        refused: why nothing was sent; empty when it was sent.
        blocked: why the motion did not happen or did not end although it was sent (contact, runstop); empty otherwise.
            A blocked move of a discrete step moves nothing.
    """

    command: Command
    clipped: tuple[str, ...] = ()
    refused: str = ""
    blocked: str = ""

    @property
    def executed(self) -> bool:
        """Whether the body did what it was sent."""
        return not self.refused and not self.blocked


@dataclass(frozen=True)
class Health:
    """What the body says of itself.

    Attributes:
        runstop: the body's own emergency stop (a button, a firmware latch) is on.
        fault: why it must not move, beginning with a name that is stable for programs ("bus-off: ...", "feedback
            stale: ...", "not homed: ..."); empty when it may.
        battery: charge in [0, 1]; None where the body does not tell.
        notes: what else a person should see: names and values, e.g. {"voltage_v": 12.1}.
    """

    runstop: bool = False
    fault: str = ""
    battery: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


class Robot(Protocol):
    """A body. Context manager: `with robot:` connects and always stops and disconnects."""

    @property
    def spec(self) -> Embodiment:
        """What the body is; readable before `connect()`."""

    def connect(self) -> None:
        """Called once before anything else. Raises ConnectionFailed saying what to check."""

    def observe(self) -> Observation:
        """Called once per control period: the newest complete observation, stamped when it was sensed."""

    def execute(self, command: Command) -> Sent:
        """Called for each command; returns when the motion ended, was refused or was blocked. Never raises for a
        command outside the limits: it clips or refuses and says so in `Sent`."""

    def stop(self) -> None:
        """Called at any time, from any thread, also twice: stops with the body's own semantics and interrupts a running
        `execute`."""

    def health(self) -> Health:
        """Called many times a second, from another thread, also while `execute` runs: what the body says of itself.
        Returns at once, from what was received last; never raises."""

    def disconnect(self) -> None:
        """Called once at the end, after `stop()`."""

    def __enter__(self) -> Robot:
        """Connects."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops and disconnects, whatever happened."""


RobotT = TypeVar("RobotT", bound=Robot)


class Connected:
    """Mixin: the parts of `Robot` that are the same for every body."""

    def health(self) -> Health:
        """A body without anything to tell of itself is well."""
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
