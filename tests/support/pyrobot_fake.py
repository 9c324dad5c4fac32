"""A fake LoCoBot behind the real PyRobot server: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware import FIRST

from robots.drivers.pyrobot.driver import PyrobotLocobot, PyrobotOptions
from robots.drivers.pyrobot.pyrobot_server.machine import Machine
from robots.drivers.pyrobot.pyrobot_server.server import Server
from robots.fakes.pyrobot.parts import FakeOptions
from robots.fakes.pyrobot.process import Robot

SMALL = {"height": 90, "width": 160}


@dataclass
class Running:
    """A server in this process."""

    robot: Robot
    machine: Machine
    address: str

    def client(self, **options: Any) -> PyrobotLocobot:
        """A driver for it, not connected."""
        return PyrobotLocobot(PyrobotOptions(address=self.address, **{**SMALL, **options}))


@contextmanager
def running(**options: Any) -> Iterator[Running]:
    """Serves a fake from a thread."""
    robot = Robot(options=FakeOptions(**{"height": 48, "width": 64, **options}))
    machine = Machine(robot)
    server = Server(machine, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not options.get("freeze_odometry_after_s") and not (machine.odometry.number and machine.image.number):
        assert time.monotonic() < deadline, "the fake tells nothing"
        time.sleep(0.005)
    try:
        yield Running(robot, machine, server.address)
    finally:
        server.end()
        thread.join()
        robot.end()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`python -m robots.fakes.pyrobot.process`; yields the address and the process once it says that it is ready."""
    command = [
        *FIRST,
        sys.executable,
        "-m",
        "robots.fakes.pyrobot.process",
        "--port",
        "0",
        "--height",
        "48",
        "--width",
        "64",
    ]
    fake = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    assert fake.stdout is not None
    try:
        line = fake.stdout.readline()
        assert line.startswith("ready "), line
        yield line.split()[1], fake
    finally:
        fake.kill()
        fake.wait()
        fake.stdout.close()


def trace_of(path: Path) -> list[dict[str, Any]]:
    """What a fake wrote with `--trace`; a last line that is cut is left out."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
