"""Every signal that ends a process ends it in order, with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robots.processes.signals import terminable

ROOT = Path(__file__).parents[2]
ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("fake", ["pyrobot --port 0", "stretch --fleet {}", "piper --channel 239.74.163.2:{port}"])
def test_a_fake_ends_in_order(fake: str, number: signal.Signals, tmp_path: Path) -> None:
    words = fake.format(tmp_path / "fleet", port=31000 + number).split()
    process = subprocess.Popen([sys.executable, "-m", "ferry", "fake", *words], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"ready")
    process.send_signal(number)
    assert process.wait(20) == 0
    process.stdout.close()


def test_nohup_holds() -> None:
    code = "import os, signal; from robots.processes.signals import on_end; on_end(print); os.kill(os.getpid(), 1)"
    done = subprocess.run(["nohup", sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=20)
    assert done.returncode == 0
    assert done.stdout == b""


def test_the_second_sighup_of_a_closing_terminal_does_not_end_the_closing() -> None:
    closed = False
    with pytest.raises(KeyboardInterrupt), terminable():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGHUP)
            closed = True
    assert closed
