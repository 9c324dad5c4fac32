"""A launch whose screen or logs take nothing goes on, and takes what its processes say."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_ferry_run import process

from ferry.launcher.plan import Process
from ferry.launcher.run import RunOptions, run

LINES = 40_000
"""Of 100 characters: 4 MB, more than pipes and queues hold."""


def talks(done: Path, then: str = "", output: str = "screen") -> Process:
    """Says a lot, makes the file `done`, and goes on with `then`."""
    code = f"for at in range({LINES}): print(str(at).zfill(99))\nopen({str(done)!r}, 'w').close()\n{then}"
    return process("talks", code, output=output)


class Pipe(io.TextIOWrapper):
    """A screen that is a pipe."""

    def __init__(self) -> None:
        read, write = os.pipe()
        self.reader = os.fdopen(read, "rb")
        super().__init__(os.fdopen(write, "wb", buffering=0), write_through=True)


@pytest.fixture
def screen() -> Iterator[Pipe]:
    screen = Pipe()
    yield screen
    screen.reader.close()  # first: who writes still is let go
    screen.close()


@pytest.mark.parametrize("reader", ["stalls", "is gone"])
def test_a_screen_that_takes_nothing_holds_nobody(screen: Pipe, tmp_path: Path, reader: str) -> None:
    if reader == "is gone":
        screen.reader.close()
    assert run([talks(tmp_path / "done")], RunOptions(screen=screen)) == 0
    assert (tmp_path / "done").exists()


def test_a_screen_that_takes_again_is_told_what_it_missed(screen: Pipe, tmp_path: Path) -> None:
    got: list[bytes] = []
    end_s = time.monotonic() + 30.0

    def read_late() -> None:
        while not (tmp_path / "done").exists() and time.monotonic() < end_s:
            time.sleep(0.05)
        while not got or b"[ferry run]" not in got[-1]:
            got.append(screen.reader.readline())

    reader = threading.Thread(target=read_late, daemon=True)
    reader.start()
    assert run([talks(tmp_path / "done", "import time; time.sleep(1); print('again')")], RunOptions(screen=screen)) == 0
    reader.join(10.0)
    (gap,) = [line for line in got if b"are missing here" in line]
    missing = int(gap.split()[0].strip(b"["))
    assert b"[talks] again\n" in got
    assert len([line for line in got if line.startswith(b"[talks] 0")]) + missing == LINES


def test_a_full_disk_under_the_logs_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "talks.log").symlink_to("/dev/full")
    screen, done = io.StringIO(), tmp_path / "done"
    assert run([talks(done, output="log")], RunOptions(tmp_path, screen=screen)) == 0
    assert done.exists()


def test_a_folder_for_logs_that_cannot_be_made_is_one_line() -> None:
    command = [sys.executable, "-m", "ferry", "run", "fake", "--log-dir", "/proc/none"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "/proc/none" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
