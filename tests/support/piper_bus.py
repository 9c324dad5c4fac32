"""A fake Piper in its own process, on a multicast port of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import TracebackType

from hardware import FIRST

from robots.drivers.piper.driver import PiperOptions

GROUP = "239.74.163.2"


def free_port() -> int:
    """A UDP port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


class FakeProcess:
    """`python -m robots.fakes.piper.process` as a context manager; `more` are further arguments."""

    def __init__(self, *more: str) -> None:
        self.channel = f"{GROUP}:{free_port()}"
        command = [
            *FIRST,
            sys.executable,
            "-m",
            "robots.fakes.piper.process",
            "--channel",
            self.channel,
            "--rate-hz",
            "100",
            *more,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def options(self, speed: float = 0.5, **more: object) -> PiperOptions:
        """Options of a driver of this fake; feedback may be late on a busy machine."""
        return PiperOptions(self.channel, "udp_multicast", speed=speed, stale_after_s=0.6, **more)  # type: ignore[arg-type]

    def fail(self, fault: str) -> None:
        """Lets `fault` begin now."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{fault}\n")
        self.process.stdin.flush()

    def __enter__(self) -> FakeProcess:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready: piper on")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
