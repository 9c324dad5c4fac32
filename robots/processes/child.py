"""Processes that do not outlive the one that started them, however that one ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

CONTEXT = multiprocessing.get_context("spawn")  # fork copies GL contexts and thread pools in an unusable state

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # now: a forked child must load nothing


def start_child(target: Callable[..., None], *args: Any) -> tuple[SpawnProcess, Connection]:
    """Starts `target(pipe, *args)` in a process of its own; returns it with the other end of the pipe.

    It is killed when this process is gone. Call it from a thread that stays: to Linux the parent is the thread.
    A Ctrl-C in the terminal is for this process alone, which decides what becomes of its children.
    """
    ours, theirs = CONTEXT.Pipe()
    work = pickle.dumps((target, args))  # what it imports takes seconds, in which it must not outlive us either
    process = CONTEXT.Process(target=_run, args=(os.getpid(), theirs, work), daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child inherits it, from its first moment
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return process, ours


def bounded(pipe: Connection, seconds: float) -> None:
    """Limits the time that sending or receiving one message through `start_child`'s pipe may be stuck.

    A process that was stopped takes no message larger than the buffer, and may have sent half of one. BlockingIOError
    is raised then, and the pipe is of no further use. Nothing where a pipe is no socket.
    """
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    with suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as end:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, limit)


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
