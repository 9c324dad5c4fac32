"""`ferry fake NAME`: an emulator of a robot's hardware, as its own process.

Each speaks the vendor's protocol, so that the driver under test is the real one. Fakes of robots whose vendors provide
a ROS 2 driver are nodes of `ferry_ros`: fake_stretch_driver, fake_xs_sdk and fake_arm_controller.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ferry.errors import UsageError, nearest
from ferry.launcher.requirements import STRETCH_SDK

_HELP = ("-h", "--help")


@dataclass(frozen=True)
class Fake:
    """One fake: what it emulates, and the `main` that runs it."""

    summary: str
    load: Callable[[], Callable[[Sequence[str]], int]]


def _stretch() -> Callable[[Sequence[str]], int]:
    from robots.fakes.stretch.process import main

    return main


def _pyrobot() -> Callable[[Sequence[str]], int]:
    from robots.fakes.pyrobot.process import main

    return main


def _piper() -> Callable[[Sequence[str]], int]:
    from robots.fakes.piper.process import main

    return main


FAKES: Mapping[str, Fake] = {
    "stretch": Fake("the serial devices of a Stretch RE1, as stretch_body accesses them", _stretch),
    "pyrobot": Fake("the process beside PyRobot of a LoCoBot, on its socket", _pyrobot),
    "piper": Fake("an AgileX Piper on a CAN bus that other processes can join", _piper),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry fake`; returns the exit status of the fake.

    Raises:
        UsageError: there is no such fake, or a package that it needs is not installed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in _HELP:
        print(usage())
        return 0 if words else 2
    return find(words[0])(words[1:])


def usage() -> str:
    """Returns what `ferry fake --help` prints."""
    listed = [f"  {name:<10}{fake.summary}" for name, fake in FAKES.items()]
    lines = ["usage: ferry fake NAME ...", "", "Runs a fake of a robot's hardware until Ctrl-C.", "", *listed, ""]
    return "\n".join([*lines, "`ferry fake NAME --help` lists a fake's options."])


def find(name: str) -> Callable[[Sequence[str]], int]:
    """Returns the `main` of a fake.

    Raises:
        UsageError: there is no such fake, or a package that it needs is not installed.
    """
    if name not in FAKES:
        raise UsageError(f"no such fake: got {name!r}; available: {', '.join(FAKES)}{nearest(name, FAKES)}")
    try:
        return FAKES[name].load()
    except ModuleNotFoundError as error:
        fix = STRETCH_SDK if name == "stretch" else "pip install -e '.[piper]'"
        raise UsageError(f"the fake {name!r} needs {error.name}, which is not installed: {fix}") from error
