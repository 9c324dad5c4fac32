"""Errors of the command line and the launcher.

FerryError
├── UsageError      the command line names something that does not exist
│   └── OptionError     ... an option, or a value that it does not take
├── LaunchError     a launch file or its arguments cannot be resolved: file, line, got, available
└── DemoError       the demonstration failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class FerryError(Exception):
    """Base of every error raised by `ferry`."""


class UsageError(FerryError):
    """The command line names something that does not exist."""


class OptionError(UsageError):
    """The options of a verb cannot be parsed."""


class DemoError(FerryError):
    """The demonstration failed."""


@dataclass(frozen=True)
class Where:
    """A position in a launch file."""

    file: Path
    line: int | None = None

    def __str__(self) -> str:
        return str(self.file) if self.line is None else f"{self.file}:{self.line}"


class LaunchError(FerryError):
    """A launch file or its arguments cannot be resolved or started."""

    def __init__(self, where: Where, what: str, got: object, available: Iterable[str] | None = None) -> None:
        self.where, self.what, self.got = where, what, got
        self.available = None if available is None else tuple(sorted(available))
        listed = "" if self.available is None else f"; available: {', '.join(self.available) or 'none'}"
        super().__init__(f"{where}: {what}: got {got!r}{listed}{nearest(str(got), self.available or ())}")


def nearest(got: str, available: Iterable[str]) -> str:
    """Returns "; did you mean X?" for the closest of the available names, or nothing when none is close."""
    found = difflib.get_close_matches(got, list(available), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
