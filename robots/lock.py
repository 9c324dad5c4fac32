"""One process drives a robot: a second one is told who does."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from robots.errors import ConnectionFailed


class Lock:
    """Held from `claim` until `release`, or until the process ends, however it ends (`flock`)."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def release(self) -> None:
        """Lets another process drive; also called twice."""
        self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(robot: str, folder: Path | None = None) -> Lock:
    """Claims what is called `robot`, e.g. "piper-can0"; ConnectionFailed when another process here has it."""
    path = (folder or Path(tempfile.gettempdir())) / f"ferry-{re.sub('[^A-Za-z0-9_.-]', '_', robot)}.lock"
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
    except OSError as error:
        raise ConnectionFailed(f"{robot}: its lock {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = file.read().strip() or "unknown"
        file.close()
        raise ConnectionFailed(f"{robot} is driven by another process (pid {owner}); stop that one first") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return Lock(file)
