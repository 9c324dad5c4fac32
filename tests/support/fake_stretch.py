"""The fake of the Stretch's vendor driver as a process, and what a test does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

from ferry_ros.drivers.stretch.driver import StretchRos2, StretchRos2Options
from ferry_ros.drivers.vendor_node import Link
from ferry_ros.rclpy_support import services
from ros_graph import NodeProcess, wait_until
from std_srvs.srv import SetBool, Trigger

from robots.command import Command
from robots.robot import Sent

NUMBERS = count()
SMALL = {"camera_height": 45, "camera_width": 80}
PATIENT = {"stale_s": 1.5, "camera_stale_s": 1.5}  # a busy machine keeps a process waiting for half a second


class FakeStretch:
    """A running fake in a namespace of its own."""

    def __init__(self, folder: Path, parameters: dict[str, object]) -> None:
        self.namespace = f"/stretch_{next(NUMBERS)}"
        self._folder, self._parameters = folder, parameters
        self.process = self.start()
        self.link = Link("tester", self.namespace)
        self.link.spin()

    def start(self) -> NodeProcess:
        """Starts the process, once more after it was killed."""
        log = self._folder / f"{self.namespace[1:]}_{next(NUMBERS)}.log"
        self.process = NodeProcess("fakes.stretch_driver", log, self.namespace, **{**SMALL, **self._parameters})
        wait_until(lambda: "ready" in self.process.text(), 20.0, self.process)
        return self.process

    def robot(self, **options: Any) -> StretchRos2:
        """A driver for it, not yet connected."""
        return StretchRos2(StretchRos2Options(namespace=self.namespace, **{**SMALL, **PATIENT, **options}))

    def set(self, **values: object) -> None:
        """Sets parameters while it runs."""
        services.set_parameters(self.link.node, f"{self.namespace}/stretch_driver", values, 5.0)

    def call(self, service: str) -> str:
        """Calls a Trigger service."""
        return str(services.ask(self.link.node, Trigger, service, Trigger.Request(), 5.0).message)

    def runstop(self, on: bool) -> None:
        """Presses or releases the runstop."""
        services.ask(self.link.node, SetBool, "runstop", SetBool.Request(data=on), 5.0)

    def end(self) -> None:
        """Ends the process and the test's own node."""
        self.link.close()
        self.process.end()


@contextmanager
def fake_stretch(folder: Path, **parameters: object) -> Iterator[FakeStretch]:
    """A fake driver, ended with the context."""
    fake = FakeStretch(folder, parameters)
    try:
        yield fake
    finally:
        fake.end()


def during(robot: StretchRos2, command: Command, begun: Callable[[], bool], act: Callable[[], object]) -> Sent:
    """Executes `command`, does `act` once `begun` holds, and returns what became of the command."""
    sent: list[Sent] = []
    thread = Thread(target=lambda: sent.append(robot.execute(command)))
    thread.start()
    wait_until(begun)
    act()
    thread.join(15.0)
    assert sent, "execute did not return"
    return sent[0]
