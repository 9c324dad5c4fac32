"""Lock of a robot: one process drives it; a second one is refused with the name of the first.

A lock is a Unix socket of the kernel's abstract names: it has no file, so it knows neither owner nor TMPDIR, and the
kernel lets it go when the process ends, however it ends. It holds for everybody in one network namespace: all users of
a computer, and its containers that use the host's network. Fakes and twins of which a computer has many take none.
"""

from __future__ import annotations

import errno
import hashlib
import pwd
import socket
import struct
from pathlib import Path
from types import TracebackType

from robots.errors import ConnectionFailed

LONGEST = 90
"""Bytes of a name in the address, of the kernel's 107; a longer one ends with its hash."""


class Lock:
    """Held from `claim` until `release`, or until the process ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def release(self) -> None:
        """Lets another process drive; also called twice."""
        self._listener.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(robot: str) -> Lock:
    """Claims the name `robot`, e.g. "piper-can0"; ConnectionFailed when another process of this computer has it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(_address(robot))
        listener.listen(4096)  # never answers, but the kernel gives our pid to connecting processes
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise ConnectionFailed(f"{robot} cannot be claimed: {error.strerror}") from error
        raise ConnectionFailed(f"{robot} is driven by another process {holder(robot)}; stop that one first") from None
    return Lock(listener)


def holder(robot: str) -> str:
    """Holder of `robot`: "(pid 4711), `python -m ...` of anna", as far as this process can see it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asks:
        asks.setblocking(False)
        try:
            asks.connect(_address(robot))
            credentials = asks.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return "(pid unknown)"
    pid, user, _ = struct.unpack("3i", credentials)
    if pid == 0:
        return "(pid unknown), in another container"
    return f"(pid {pid}), {_command(pid)} of {_user(user)}"


def _address(robot: str) -> str:
    name = robot if len(robot.encode()) <= LONGEST else hashlib.sha256(robot.encode()).hexdigest()
    return f"\0ferry/{name}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    except OSError:
        return "a process"
    return f"`{' '.join(words)[:100]}`"
