"""A driver suspended in a motion: the arm comes to rest, and stays there when the process is back."""

from __future__ import annotations

import math
import signal
import struct
import subprocess
import sys
import time
from typing import Any

import pytest
from piper_bus import FakeProcess

for module in ("piper_sdk", "can", "pinocchio"):
    pytest.importorskip(module, reason="the extras `piper` and `arm` are not installed")

DRIVES = """
import sys
from robots.command import MoveJoint
from robots.drivers.piper.driver import PiperOptions, PiperRobot
with PiperRobot(PiperOptions(sys.argv[1], "udp_multicast", speed=1.0, stale_after_s=0.6)) as robot:
    print("begins", flush=True)
    print(robot.execute(MoveJoint("joint1", 1.5)).blocked, flush=True)
    robot.stop()
    sys.stdin.readline()
"""


class Joint:
    """Angle of joint1 [rad], as the arm itself sends it on its bus."""

    def __init__(self, channel: str) -> None:
        from robots.drivers.piper.can_bus import open_bus

        self._bus: Any = open_bus(channel, "udp_multicast")

    def angles(self, for_s: float) -> list[float]:
        """Those of the next `for_s` seconds."""
        while self._bus.recv(0.0) is not None:  # what was sent before
            pass
        found, until = list[float](), time.monotonic() + for_s
        while time.monotonic() < until:
            message = self._bus.recv(0.1)
            if message is not None and message.arbitration_id == 0x2A5:
                found.append(math.radians(struct.unpack(">ii", message.data)[0] / 1000.0))
        return found

    def close(self) -> None:
        self._bus.shutdown()


def test_an_arm_whose_driver_was_suspended_stays_stopped_when_it_is_back() -> None:
    with FakeProcess() as fake:
        joint = Joint(fake.channel)
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVES, fake.channel], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert driver.stdout is not None
        assert driver.stdout.readline() == "begins\n"
        while joint.angles(0.05)[-1] < 0.15:
            pass
        driver.send_signal(signal.SIGSTOP)
        at_rest = joint.angles(1.5)[-1]
        driver.send_signal(signal.SIGCONT)
        back = joint.angles(1.0)
        assert driver.stdout.readline().startswith(("asleep: ", "stopped"))
        assert 0.1 < at_rest < 1.4
        assert max(abs(angle - at_rest) for angle in back) < 0.005
        driver.communicate("\n", timeout=20.0)
        joint.close()
