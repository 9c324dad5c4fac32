"""Drains the output of this process through a helper process, so that nothing here waits for a reader.

Also when it was started by hand into a pager, a pipe, a terminal that is held, or a container's log.
"""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fcntl import F_GETFL, F_SETFL, F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import Any, TextIO

from robots.processes import outlet

OUTPUTS = (1, 2)

_left: list[subprocess.Popen[bytes]] = []
"""Helper processes that outlive what they drained; kept, so that Python does not warn of them."""


@contextmanager
def drained(log: Path | None = None) -> Iterator[None]:
    """Redirects standard output and error to a helper process, which also writes them to `log`.

    A full pipe drops lines. An exception is printed here and becomes SystemExit(1): the reader may have stalled.
    """
    saved = _saved()
    aside = _start(log)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lossy(stream, at) for stream, at in zip(streams, OUTPUTS))
    try:
        yield
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
    finally:
        sys.stdout, sys.stderr = streams
        _close(aside, saved)


def _start(log: Path | None) -> subprocess.Popen[bytes]:
    """Starts the helper process and redirects both outputs to it."""
    (reader, output), (errors_reader, errors) = os.pipe(), os.pipe()
    command = [sys.executable, "-I", "-S", outlet.__file__, str(log or ""), str(errors_reader)]
    aside = subprocess.Popen(command, stdin=reader, start_new_session=True, pass_fds=[errors_reader])
    for pipe in (output, errors):
        _never_wait(pipe)
    _point(OUTPUTS, (output, errors))
    for end in (reader, output, errors_reader, errors):
        os.close(end)
    return aside


def _saved() -> tuple[int, int]:
    """Copies of this process's own outputs; one that was closed when it was started counts as /dev/null."""
    for at in OUTPUTS:
        try:
            os.fstat(at)
        except OSError:
            _point([at], [os.open(os.devnull, os.O_WRONLY)])
    return os.dup(1), os.dup(2)


def _never_wait(pipe: int) -> None:
    """A full pipe refuses. This end is ours alone: the flag would bind everybody who shares it."""
    fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | os.O_NONBLOCK)
    with suppress(OSError):  # the user's quota of pipe memory is used up: it stays at 64 KiB
        fcntl(pipe, F_SETPIPE_SZ, outlet.MOST_BYTES)


def _close(aside: subprocess.Popen[bytes], saved: tuple[int, int]) -> None:
    """Ends the pipe and gives it a moment to run dry; then an output that still stalls is left for good."""
    silent = os.open(os.devnull, os.O_WRONLY)
    _point(OUTPUTS, (silent, silent))
    try:
        aside.wait(2 * outlet.LAST_WORDS_S)
    except subprocess.TimeoutExpired:  # it is stopped, or a child of ours has our output still
        _left.append(aside)
    _point(OUTPUTS, [output if select.select([], [output], [], 0)[1] else silent for output in saved])
    for one in (silent, *saved):
        os.close(one)


def _point(outputs: Sequence[int], targets: Sequence[int]) -> None:
    for at, target in zip(outputs, targets):
        os.dup2(target, at)


class _Lossy(io.RawIOBase):
    """Text stream that drops what a full pipe refuses, where print() would raise."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> int:  # type: ignore[override]
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            pass
        return len(data)


def _lossy(stream: TextIO, descriptor: int) -> TextIO:
    """`stream`, written without waiting; itself where it is not the process's own, as under a test runner."""
    try:
        if stream.fileno() != descriptor:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    stream.flush()
    raw: Any = _Lossy(descriptor)
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
