"""One evaluation at a time writes into a folder, and none of its processes outlives it there."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.errors import FolderError

LOCK, WORKERS = ".lock", ".workers"
"""Held by the evaluation alone; held by all of its processes. The kernel lets go of both when a process dies."""

DYING_S = 10.0
"""Workers of an evaluation that was killed are killed with it; so long they may take."""


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """While this evaluation is the only one that writes into `folder`, which is made where it is not there.

    Raises:
        FolderError: another one is at it; the message says which process.
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(folder / LOCK) as lock:
        if not _take(lock, fcntl.LOCK_EX):
            who = os.pread(lock, 20, 0).decode().strip()
            expected = "to be the only one; wait for it, end it, or give another --output"
            raise FolderError(f"{folder}: got an evaluation that is running there (process {who}), expected {expected}")
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        _expect_gone(folder)
        yield


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """While a worker writes into `folder`."""
    with _opened(folder / WORKERS) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _expect_gone(folder: Path) -> None:
    """Waits until no worker of an earlier evaluation is left."""
    until = time.monotonic() + DYING_S
    with _opened(folder / WORKERS) as lock:
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise FolderError(f"{folder}: got workers of an evaluation that has ended, expected none; end them")
            time.sleep(0.02)


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # no child inherits it
    try:
        yield file
    finally:
        os.close(file)
