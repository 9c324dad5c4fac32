"""The protocol every body follows: fake, twin and driver alike."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Mixin: the context manager part of `Robot`, the same for every body."""

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
