"""A running fake Stretch, and the real driver's options for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.hardware import FIRST

from robots.drivers.stretch.driver import StretchOptions
from robots.fakes.stretch.calibration_files import ROBOT_ID
from robots.processes import control_socket

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("stretch_body") is None, reason="stretch_body is not installed: run scripts/stretch_sdk"
)


class RunningFake:
    """A process of `robots.fakes.stretch.process`."""

    def __init__(self, fleet: Path, process: subprocess.Popen[str]) -> None:
        self.fleet, self.process = fleet, process

    @property
    def robot(self) -> Path:
        """The calibration folder."""
        return self.fleet / ROBOT_ID

    def tell(self, line: str) -> dict[str, Any]:
        """Says a line to it; returns its state."""
        return control_socket.tell(self.fleet, line, timeout_s=5.0)

    def state(self) -> dict[str, Any]:
        """Where everything truly is."""
        return self.tell("state")

    def until(self, line: str, wanted: bool = True, limit_s: float = 10.0) -> dict[str, Any]:
        """Waits until a flag of its state is `wanted`."""
        deadline = time.monotonic() + limit_s
        while (state := self.state())[line] is not wanted:
            assert time.monotonic() < deadline, f"{line} is not {wanted}: {state}"
            time.sleep(0.02)
        return state

    def kill(self) -> None:
        """Switches the robot off."""
        self.process.kill()
        self.process.wait()

    def options(self, **values: Any) -> StretchOptions:
        """The driver's options for it, with small images."""
        camera = f"synthetic:{self.fleet}"
        known = {"navigation_camera": camera, "manipulation_camera": camera, "height": 90, "width": 160}
        patient = {"feedback_stale_s": 3.0, "camera_stale_s": 3.0, "spare_s": 8.0}  # a test machine may be busy
        return StretchOptions(fleet=str(self.robot), **{**known, **patient, **values})


@contextmanager
def running_fake(*arguments: str) -> Iterator[RunningFake]:
    """A fake in a folder of its own with a short name, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="stretch-") as folder:
        command = [*FIRST, sys.executable, "-m", "robots.fakes.stretch.process", "--fleet", folder, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline().startswith("ready ")
                yield RunningFake(Path(folder), process)
            finally:
                process.kill()
