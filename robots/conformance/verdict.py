"""Exceptions of the checks."""

from __future__ import annotations

from robots.errors import RobotError


class Failed(RobotError, AssertionError):
    """The robot breaks the rule."""

    def __init__(self, what: str, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected


class NotApplicable(RobotError):
    """The rule does not apply to this robot; the message gives the reason."""


def expect(fact: bool, what: str, got: object, expected: object) -> None:
    """Raises Failed unless `fact`."""
    if not fact:
        raise Failed(what, got, expected)
