"""Shared memory of Fast DDS: detects removed files, and other users' files."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")
PREFIX, LOCK = "fastrtps_", "_el"
"""Of the files of a living process, those whose names end so are open and locked by it, as long as it lives."""

REMOVED = (
    "the shared memory of ROS was removed under this process (by systemd-logind's RemoveIPC, when its user's last"
    " session ended?): processes that start now do not receive from it. Restart it; to prevent this: loginctl"
    " enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf"
)


def missing(process: str = "self") -> str:
    """Text with the remedy when files of this process (or of that with another pid) were removed; "" otherwise.

    Takes well below a millisecond. A process whose files may not be read counts as without any.
    """
    gone = any(name.endswith(f"{LOCK} (deleted)") for name in _open_files(process))
    return REMOVED if gone else ""


def strangers() -> dict[int, int]:
    """Other users with running processes that use shared memory: uid -> number of their files."""
    found: Counter[int] = Counter()
    for path in FOLDER.glob(f"{PREFIX}*{LOCK}"):
        with suppress(OSError):  # it has just ended
            user = path.stat().st_uid
            if user != os.getuid() and _held(path):
                found[user] += 1
    return dict(found)


def _open_files(process: str) -> list[str]:
    """Fast DDS's files that a process has open."""
    found, folder = [], f"/proc/{process}/fd"
    with suppress(OSError):
        for number in os.listdir(folder):
            with suppress(OSError):  # closed in the meantime
                found.append(os.readlink(f"{folder}/{number}"))
    return [name for name in found if name.startswith(str(FOLDER / PREFIX))]


def _held(path: Path) -> bool:
    """True when a running process has locked the file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
