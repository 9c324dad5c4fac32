"""Output that nobody waits for: into full pipes, full disks and files, with real processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from robots.processes.outlet import Outlet, write_all

ROOT = Path(__file__).parents[2]


def drained(code: str, log: Path | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """A process whose output is drained while `code` runs."""
    lines = ["from pathlib import Path", "from robots.processes.drain import drained", "import os, sys, time"]
    body = [
        f"with drained({'None' if log is None else f'Path({str(log)!r})'}):",
        *("    " + x for x in code.split("\n")),
    ]
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines + body)], cwd=ROOT, **options)


def test_what_a_stalled_reader_misses_is_counted() -> None:
    written: list[bytes] = []
    free = threading.Event()

    def write(data: bytes) -> None:
        free.wait(10.0)
        written.append(data)

    outlet = Outlet(write, most_bytes=100)
    for _ in range(20):
        outlet.put(b"123456789\n")
    free.set()
    outlet.close(10.0)
    assert b"".join(written) == 10 * b"123456789\n" + b"[10 lines are missing here: nobody took them]\n"


def test_a_disk_that_was_full_gets_the_rest() -> None:
    written: list[bytes] = []
    full = [True, True]

    def write(data: bytes) -> None:
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(data)

    outlet = Outlet(write)
    for line in (b"one\n", b"two\n", b"three\n"):
        outlet.put(line)
        time.sleep(0.05)
    outlet.close(10.0)
    assert b"".join(written) == b"[2 lines are missing here: nobody took them]\nthree\n"


def test_everything_is_written_to_a_descriptor_that_refuses_now_and_then() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)  # as whoever shares a terminal may do
    thread = threading.Thread(target=write_all, args=(write, 300_000 * b"x"))
    thread.start()
    got = 0
    while got < 300_000:
        got += len(os.read(read, 65536))
    thread.join()


def test_both_outputs_arrive_where_they_belong_and_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "node.log"
    code = "print('out')\nprint('err', file=sys.stderr)\nos.write(2, b'c\\n')"
    done = drained(code, log, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.communicate(timeout=20) == (b"out\n", b"err\nc\n")
    assert sorted(log.read_text().split()) == ["c", "err", "out"]


def test_a_log_that_cannot_be_written_costs_nothing_else() -> None:
    done = drained("print('out')", Path("/proc/none/node.log"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.communicate(timeout=20) == (b"out\n", b"")


def test_an_error_and_a_crash_are_reported() -> None:
    failed = drained("raise ValueError('why')", stderr=subprocess.PIPE)
    assert b"ValueError: why" in failed.communicate(timeout=20)[1]
    assert failed.returncode == 1
    crashed = drained("import faulthandler; faulthandler.enable(); os.abort()", stderr=subprocess.PIPE)
    assert b"Fatal Python error: Aborted" in crashed.communicate(timeout=20)[1]


@pytest.mark.parametrize("say", ["print('x' * 999)", "os.write(2, 999 * b'x')"], ids=["print", "C"])
def test_a_pipe_that_nobody_reads_holds_nobody(say: str) -> None:
    code = f"for _ in range(5000):\n    try: {say}\n    except BlockingIOError: pass"
    stalled = drained(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stalled.wait(20) == 0
    stalled.stdout.close()  # type: ignore[union-attr]
    stalled.stderr.close()  # type: ignore[union-attr]


def test_outputs_that_were_closed_at_the_start() -> None:
    code = "from robots.processes.drain import drained\nwith drained(): print('x')"
    assert (
        subprocess.run(
            [
                "sh",
                "-c",
                f'exec {sys.executable} -c "{code}" >&- 2>&-',
            ],
            cwd=ROOT,
            timeout=20,
        ).returncode
        == 0
    )
