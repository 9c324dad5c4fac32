"""A fake as people start it, `ferry fake NAME ...`, for as long as a test needs it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ferry.launcher.parent import end_with_parent


@contextmanager
def ferry_fake(name: str, *words: str) -> Iterator[str]:
    """Runs a fake; yields what it says once it is ready, and expects it to end well on SIGINT."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ferry", "fake", name, *words],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent(),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready"), line
        yield line.strip()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def multicast_channel() -> str:
    """Returns a channel for a fake Piper that no other fake of this machine is likely to have."""
    return f"239.74.163.2:{random.SystemRandom().randint(30000, 60000)}"
