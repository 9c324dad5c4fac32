"""Processes and disks that faults are planted in; all of them end with the process that began them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SHARED_MEMORY = Path("/dev/shm")
BALLAST = "ballast"

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a process that does not outlive this one, not even while it is frozen."""
    parent = os.getpid()

    def end_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(command, preexec_fn=end_with_parent, **options)


def end(process: subprocess.Popen[bytes] | None) -> None:
    """Kills a process, also a frozen one, and waits until it is gone."""
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def lives(pid: int) -> bool:
    """Whether a process of that id runs."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def apart() -> list[str]:
    """First words of a command whose process gets mounts of its own; none where that takes a right that we lack."""
    return ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else []


def is_apart() -> bool:
    """Whether this process has mounts of its own: what it does to its disks and shared memory hits nobody else."""
    return os.readlink("/proc/self/ns/mnt") != os.readlink(f"/proc/{os.getppid()}/ns/mnt")


def own_shared_memory() -> None:
    """Gives this process and its children a /dev/shm of their own."""
    mount(SHARED_MEMORY, "1g")


def remove_shared_memory() -> None:
    """Removes every file of /dev/shm, as logind does when the last session of a user ends (RemoveIPC)."""
    if not is_apart():
        raise PermissionError("/dev/shm is everybody's here: nothing is removed")
    for path in SHARED_MEMORY.iterdir():
        path.unlink()


def mount(folder: Path, size: str) -> None:
    """Mounts a disk of that size, which ends with the mounts of this process."""
    if not is_apart():
        raise PermissionError(f"{folder}: nothing is mounted where everybody would see it")
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_mount() or folder == SHARED_MEMORY:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Fills a disk to its last byte."""
    with (folder / BALLAST).open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def make_room(folder: Path) -> None:
    """Takes the ballast away again."""
    (folder / BALLAST).unlink(missing_ok=True)
