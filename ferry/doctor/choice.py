"""The robots that can be checked: their drivers, and the checks of the robot's computer that each driver needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ferry.doctor.check import Machine
from ferry.doctor.devices import check_can, check_files, check_sdk
from ferry.errors import UsageError, nearest
from ferry.launcher.requirements import STRETCH_SDK

INSTALL_STRETCH = f"{STRETCH_SDK}; preinstalled on a Stretch: python3 -m venv --system-site-packages .venv"

HostCheck = Callable[[Any, Machine], str]
"""Takes the driver's options and the machine."""


@dataclass(frozen=True)
class Driver:
    """One way to drive one robot.

    Attributes:
        body: its name in `ferry_ros.robot_registry`.
        checks: checks of the robot's computer, by name.
    """

    body: str
    checks: Mapping[str, HostCheck]


def _stretch_sdk(_options: Any, _machine: Machine) -> str:
    return check_sdk("stretch_body", "hello-robot-stretch-body", "0.7.31", INSTALL_STRETCH)


def _stretch_serial(options: Any, machine: Machine) -> str:
    if options.fleet:
        return f"as named by the calibration files in {options.fleet}"
    return check_files(("hello-*",), "dialout", "serial devices of a Stretch", machine)


def _piper_sdk(_options: Any, _machine: Machine) -> str:
    return check_sdk("piper_sdk", "piper_sdk", "0.6.2", "pip install -e '.[piper]'")


def _piper_can(options: Any, machine: Machine) -> str:
    if options.interface != "socketcan":
        return f"{options.interface} {options.channel}: not a CAN interface of this computer"
    return check_can(options.channel, 1_000_000, machine)


ROBOTS: Mapping[str, Mapping[str, Driver]] = {
    "stretch_re1": {
        "stretch_body": Driver("stretch_re1", {"sdk": _stretch_sdk, "serial": _stretch_serial}),
        "stretch_ros2": Driver("stretch_re1_ros2", {}),
    },
    "locobot": {"interbotix": Driver("locobot_interbotix", {}), "pyrobot": Driver("locobot_pyrobot", {})},
    "piper": {"piper_sdk": Driver("piper", {"sdk": _piper_sdk, "can": _piper_can})},
    "ros2_control_arm": {"ros2_control": Driver("ros2_control_arm", {})},
}
"""Robots and their drivers, with the names that the launch files use; the first driver is the default."""


def choose(robot: str, driver: str | None) -> Driver:
    """Returns the driver of a robot, the default one if none is given; other names are looked up in the registry.

    Raises:
        UsageError: there is no such robot, or it has no such driver.
    """
    from ferry_ros import robot_registry

    known = {**ROBOTS, **robot_registry.ROBOTS}
    if robot not in known:
        raise UsageError(f"robot: got {robot!r}; available: {', '.join(known)}{nearest(robot, known)}")
    drivers = ROBOTS.get(robot, {robot: Driver(robot, {})})
    if driver is None:
        return next(iter(drivers.values()))
    if driver not in drivers:
        raise UsageError(f"driver of {robot}: got {driver!r}; available: {', '.join(drivers)}")
    return drivers[driver]
