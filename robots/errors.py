"""Errors of the robot side.

RobotError
├── SpecError          a value does not fit its spec, or a spec is not valid
├── BindError          a policy and a robot do not fit together
├── ConnectionFailed   the robot cannot be reached or is not ready to move
│   └── NotInstalled       its driver needs a package that is not installed
└── NotConnected       a robot was asked to do something before `connect()`
"""

from __future__ import annotations

from collections.abc import Iterable


class RobotError(Exception):
    """Base of every error raised by `robots`."""


class SpecError(RobotError):
    """A value does not fit its spec."""

    def __init__(self, what: str, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected


class BindError(RobotError):
    """A policy and a robot do not fit together.

    `code` is stable for programs ("camera", "state", "action", "field_of_view", ...); the message is for people.
    """

    def __init__(self, code: str, what: str, got: object, expected: object, available: Iterable[str] = ()) -> None:
        names = ", ".join(sorted(available)) or "none"
        super().__init__(f"{what}: got {got}, expected {expected}; available: {names}")
        self.code, self.got, self.expected, self.available = code, got, expected, tuple(sorted(available))


class ConnectionFailed(RobotError):
    """A robot cannot be reached or is not ready to move; the message names what to check."""


class NotInstalled(ConnectionFailed):
    """A driver needs a package that is not installed; trying again does not help."""


class NotConnected(RobotError):
    """A robot was asked to observe or move before `connect()`."""

    def __init__(self, robot: str, operation: str) -> None:
        super().__init__(f"{robot}: {operation}() was called before connect()")
