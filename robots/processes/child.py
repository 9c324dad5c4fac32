"""Processes that do not outlive the one that started them, however that one ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

CONTEXT = multiprocessing.get_context("spawn")  # fork copies GL contexts and thread pools in an unusable state

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # now: a forked child must load nothing


def start_child(target: Callable[..., None], *args: Any) -> tuple[SpawnProcess, Connection]:
    """Starts `target(pipe, *args)` in a process of its own; returns it with the other end of the pipe.

    It is killed when this process is gone. Call it from a thread that stays: to Linux the parent is the thread.
    """
    ours, theirs = CONTEXT.Pipe()
    work = pickle.dumps((target, args))  # what it imports takes seconds, in which it must not outlive us either
    process = CONTEXT.Process(target=_run, args=(os.getpid(), theirs, work), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def signal_with_parent(parent: int, number: signal.Signals) -> None:
    """Asks the kernel to send this process a signal when its parent, process `parent`, is gone; ends it if it is.

    For a child, right after it began. Nothing but the check where there is no Linux.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def _run(parent: int, pipe: Connection, work: bytes) -> None:
    signal_with_parent(parent, signal.SIGKILL)
    threading.Thread(target=_watch, name="parent", daemon=True).start()
    target, args = pickle.loads(work)  # noqa: S301 - what the parent has just written
    target(pipe, *args)


def _watch() -> None:
    """Ends this process when the parent's end of a pipe is closed; for systems that send no signal."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
