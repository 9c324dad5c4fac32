"""A child does not outlive its parent, however that ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

CODE = """
import sys, time
from multiprocessing.connection import Connection
from robots.processes.child import start_child

def hang(pipe: Connection) -> None:
    pipe.send("here")
    while True:  # holds the GIL, as a library that hangs may
        sum(range(10**7))

if __name__ == "__main__":
    process, pipe = start_child(hang)
    print(process.pid, pipe.recv(), flush=True)
    time.sleep(60)
"""


def test_a_child_goes_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(CODE, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, word = parent.stdout.readline().split()
    assert word == "here"
    parent.kill()
    parent.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(pid: str) -> bool:
    """Whether a process lives; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
