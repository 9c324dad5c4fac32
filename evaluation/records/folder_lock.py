"""Locks of an output folder: one evaluation at a time writes there, and none of its workers outlives it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.errors import FolderError

LOCK, WORKERS = ".lock", ".workers"
"""Lock of the evaluation; lock shared by its workers. The kernel releases both when a process dies."""

DYING_S = 10.0
"""Time for the workers of a killed evaluation to exit; they are killed with it."""


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Makes this evaluation the only one that writes into `folder`; creates the folder.

    Raises:
        FolderError: another evaluation writes there; the message names its process.
        OSError: the folder is not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(folder / LOCK) as lock:
        if not _take(lock, fcntl.LOCK_EX):
            process = os.pread(lock, 20, 0).decode().strip()
            fix = "wait for it, end it, or pass another --output"
            raise FolderError(f"{folder}: another evaluation is running there (process {process}); {fix}")
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        _expect_gone(folder)
        yield


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Marks that a worker writes into `folder`."""
    with _opened(folder / WORKERS) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _expect_gone(folder: Path) -> None:
    """Waits until no worker of an earlier evaluation is left."""
    until = time.monotonic() + DYING_S
    with _opened(folder / WORKERS) as lock:
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise FolderError(f"{folder}: workers of an earlier evaluation are still running there; end them")
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
