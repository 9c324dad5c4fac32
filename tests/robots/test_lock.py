"""The lock of a robot: across processes, users and folders for temporary files, and gone with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robots.errors import ConnectionFailed
from robots.processes.lock import claim

ROOT = Path(__file__).parents[2]
HOLD = """
import os, sys, time
from robots.processes.lock import claim
os.setuid(int(sys.argv[2]))
lock = claim(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held(robot: str, user: int = os.getuid(), **environment: str) -> Iterator[int]:
    """A process of `user` holds `robot` inside of the context; its pid. AssertionError with why it does not."""
    everything, pipe = {**os.environ, **environment}, subprocess.PIPE
    command = [sys.executable, "-c", HOLD, robot, str(user)]
    with subprocess.Popen(command, cwd=ROOT, env=everything, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "held\n", process.stderr.read()
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def robot(tmp_path: Path) -> str:
    return f"lamp-{tmp_path}"  # longer than an address of the kernel


def test_it_names_who_drives_and_goes_with_that_process(robot: str) -> None:
    with held(robot, TMPDIR="/var/tmp") as pid:
        for _ in range(3):
            with pytest.raises(ConnectionFailed, match=rf"{robot} is driven .*\(pid {pid}\), .*; stop that one first"):
                claim(robot)
    with claim(robot), pytest.raises(ConnectionFailed, match=f"pid {os.getpid()}"):
        claim(robot)
    claim(robot).release()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(("first", "second"), [(0, 65534), (65534, 0), (65534, 65533)])
def test_users_share_it(robot: str, first: int, second: int) -> None:
    with (
        held(robot, first) as pid,
        pytest.raises(AssertionError, match=rf"driven by another process \(pid {pid}\)"),
        held(robot, second),
    ):
        pass
    with held(robot, second):  # what the first has left behind keeps nobody out
        pass
