"""A check: a function that returns its result, or raises a failure or a warning with its fix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

TIMEOUT_S = 60.0
"""Timeout of a check's own process; importing a large library on a busy computer takes some of it."""


class CheckFailed(Exception):
    """A check found a fault; `fix` is the command or the action that repairs it."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.fix = fix


class CheckWarning(CheckFailed):
    """A check found something that a person should look at; a session may go on regardless."""


@dataclass(frozen=True)
class Machine:
    """The machine that is checked.

    Attributes:
        folder: where records are written.
        server: URL of the policy server; None if none is to be checked.
        token: its bearer token.
        python: version of Python.
        environment: environment variables.
        root: where /dev and /sys are, for tests.
    """

    folder: Path
    server: str | None = None
    token: str | None = None
    python: tuple[int, ...] = sys.version_info[:3]
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path("/")


Check = Callable[[], str]
"""Returns its result in words; raises CheckFailed or CheckWarning."""


class Level(Enum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    name: str
    level: Level
    found: str
    fix: str = ""

    def __str__(self) -> str:
        """One line, and a second one with the fix."""
        line = f"{self.level.value:<6}{self.name:<13}{self.found}"
        return f"{line}\n{'':<19}fix: {self.fix}" if self.fix else line


def examine(name: str, check: Check) -> Finding:
    """Runs one check."""
    try:
        return Finding(name, Level.OK, check())
    except CheckWarning as error:
        return Finding(name, Level.WARNING, str(error), error.fix)
    except CheckFailed as error:
        return Finding(name, Level.FAIL, str(error), error.fix)


def run_python(code: str, fix: str, words: Sequence[str] = ()) -> str:
    """Runs Python code in its own process, safe from missing libraries, crashes and hangs; returns its output."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"no answer within {TIMEOUT_S:.0f} s", fix) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise CheckFailed(last, fix)
    return done.stdout.strip()
