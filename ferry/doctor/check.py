"""What a check is: a function that returns what it found, or raises what to mend or to think about."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

TIMEOUT_S = 60.0
"""Longest time that a check's own process may take; importing a large library on a busy computer takes some of it."""


class CheckFailed(Exception):
    """A check found something that must be mended; `fix` is what to type or to do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.fix = fix


class Doubtful(CheckFailed):
    """A check found something that a person should look at; a session may go on without."""


@dataclass(frozen=True)
class Machine:
    """What is checked.

    Attributes:
        folder: where records are written.
        server: URL of the policy server; None where none is to be asked.
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
"""Returns what is well; raises CheckFailed or Doubtful."""


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """What one check came to."""

    name: str
    level: Level
    found: str
    fix: str = ""

    def __str__(self) -> str:
        """One line, and a second one with what to do."""
        line = f"{self.level.value:<6}{self.name:<13}{self.found}"
        return f"{line}\n{'':<19}fix: {self.fix}" if self.fix else line


def examine(name: str, check: Check) -> Finding:
    """Runs one check."""
    try:
        return Finding(name, Level.OK, check())
    except Doubtful as error:
        return Finding(name, Level.WARNING, str(error), error.fix)
    except CheckFailed as error:
        return Finding(name, Level.FAIL, str(error), error.fix)


def run_python(code: str, fix: str, words: Sequence[str] = ()) -> str:
    """Runs Python in its own process, where a missing library, a crash or a hang harms nothing; returns its output."""
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
