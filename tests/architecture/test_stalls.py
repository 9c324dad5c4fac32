"""A test that failed while the machine stood still runs again; one that failed by itself does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parents[1] / "support"

CONFTEST = """
import sys
sys.path.insert(0, {support!r})
from stalls import AgainAfterStall

def pytest_configure(config):
    config.pluginmanager.register(AgainAfterStall(stall_s=1.0, again=1))
"""

TESTS = """
import sys
import time
from pathlib import Path

def count(name):
    with Path(name).open("a") as file:
        file.write("x")
    return len(Path(name).read_text())

def stall():
    'Holds the GIL, so that no other thread of this process runs.'
    sys.setswitchinterval(10.0)
    end = time.monotonic() + 1.3
    while time.monotonic() < end:
        pass
    sys.setswitchinterval(0.005)

def test_that_a_stall_failed_once():
    if count("once") == 1:
        stall()
        raise AssertionError("too late")

def test_that_is_wrong_beside_a_stall():
    count("always")
    stall()
    raise AssertionError("wrong")

def test_that_is_wrong():
    count("wrong")
    raise AssertionError("wrong")
"""


def test_only_what_failed_beside_a_stall_runs_again(tmp_path: Path) -> None:
    pytest.importorskip("pytest_rerunfailures")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(support=str(SUPPORT)))
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfR", str(tmp_path / "test_it.py")]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    attempts = {name: len((tmp_path / name).read_text()) for name in ("once", "always", "wrong")}
    assert attempts == {"once": 2, "always": 2, "wrong": 1}, output
    assert "2 failed, 1 passed" in output, output
