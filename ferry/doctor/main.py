"""The verb `ferry doctor`: runs the checks in order, and prints the finding of each."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ferry.conform import maker
from ferry.doctor.cameras import check_camera
from ferry.doctor.check import Finding, Level, Machine, examine
from ferry.doctor.choice import ROBOTS, Driver, choose
from ferry.doctor.clock import check_clock, check_drift, check_ntp
from ferry.doctor.machine import check_disk, check_gl, check_onnxruntime, check_python
from ferry.doctor.robot import examine_robot
from ferry.doctor.ros import (
    check_discovery,
    check_domain,
    check_memory,
    check_middleware,
    check_robots,
    check_ros,
)
from ferry.doctor.server import check_server
from ferry.help import Parser
from ferry.launcher.requirements import table
from ferry.options import build, from_parameters, parse
from robots.robot import Robot

CHECKS: Mapping[str, Callable[[Machine], str]] = {
    "python": check_python,
    "gl": check_gl,
    "ros": check_ros,
    "onnxruntime": check_onnxruntime,
    "disk": check_disk,
    "clock": check_clock,
    "ntp": check_ntp,
    "drift": check_drift,
    "domain": check_domain,
    "discovery": check_discovery,
    "middleware": check_middleware,
    "memory": check_memory,
    "robots": check_robots,
    "server": check_server,
}
"""Checks of a machine by name."""

DEVELOPMENT = ("python", "gl", "ros", "onnxruntime", "disk", "clock")
"""Checks of a machine for development and the demonstration."""
ROBOT = ("python", "ros", "domain", "discovery", "middleware", "memory", "robots", "disk", "clock", "ntp", "drift")
"""Checks of a robot's computer."""

RATE_HZ = 5.0
"""publish_rate_hz of the launch files: the observation rate of robot_node."""


@dataclass(frozen=True)
class Subject:
    """The robot that is checked."""

    driver: Driver
    options: Any
    robot: Robot


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry doctor`; returns 1 when a check failed."""
    options = parser().parse_args(argv)
    subject = subject_of(options) if options.robot and not options.only else None
    machine = Machine(options.record, options.server, options.token, environment=os.environ)
    levels = []
    for finding in findings(options, subject, machine):
        print(finding, flush=True)
        levels.append(finding.level)
    failed, warned = levels.count(Level.FAIL), levels.count(Level.WARNING)
    if subject:
        found = f"{counted(failed, 'failure')}, {counted(warned, 'warning')}"
        print(found if failed or warned else "ready for a session")
    elif not (options.only or options.camera):
        print(f"\n{table()}")
    return int(failed > 0)


def counted(number: int, noun: str) -> str:
    """Returns e.g. "1 warning" or "0 warnings"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def findings(options: argparse.Namespace, subject: Subject | None, machine: Machine) -> Iterator[Finding]:
    """Yields each finding as it is made: the machine, the policy server, the robot."""
    names = options.only or [*(ROBOT if subject or options.camera else DEVELOPMENT)]
    if options.server and "server" not in names:
        names.append("server")
    for name in names:
        yield examine(name, partial(CHECKS[name], machine))
    for camera in options.camera:
        yield examine("camera", partial(check_camera, camera, options.image_size, options.rate))
    if subject:
        for name, check in subject.driver.checks.items():
            yield examine(name, partial(check, subject.options, machine))
        yield from examine_robot(subject.robot, options.rate, machine)


def subject_of(options: argparse.Namespace) -> Subject:
    """Returns the robot that the command line names, not connected.

    Raises:
        UsageError: it has no such driver or option.
    """
    from ferry_ros import robot_registry

    driver = choose(options.robot, options.driver)
    body = robot_registry.body(driver.body)
    configured = from_parameters(options.config, body.prefix) if options.config else {}
    defaults = {"real_time": "true"} if "real_time" in {field.name for field in fields(body.options)} else {}
    body_options = build(body.options, {**defaults, **configured, **parse(options.set)})
    return Subject(driver, body_options, maker(body.create, body_options)())


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    choices = "; ".join(f"{robot}: {', '.join(drivers)}" for robot, drivers in ROBOTS.items() if len(drivers) > 1)
    line = Parser(
        prog="ferry doctor",
        description="Checks this machine's dependencies, and prints how to install missing ones. With --robot, checks a"
        " robot and its computer before a session: connects, observes for two seconds, and sends no motion.",
    )
    add = line.add_argument
    add("--only", action="append", choices=sorted(CHECKS), help="run only this check; may be repeated")
    add("--server", metavar="URL", help="also check this policy server, and that its policy fits the robot")
    add("--token", help="bearer token of the policy server")
    add("--record", type=Path, default=Path.cwd(), metavar="FOLDER", help="folder where records will be written")
    add("--robot", metavar="NAME", help=f"{', '.join(ROBOTS)}, or another name in ferry_ros/robot_registry.py")
    add("--driver", help=f"driver, where a robot has two; {choices}")
    add("--config", type=Path, metavar="FILE", help="the parameter file that the launch takes as config:=")
    add("--set", action="extend", nargs="+", default=[], metavar="NAME=VALUE", help="options of the driver")
    add(
        "--camera",
        action="extend",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="also check this camera, e.g. opencv:0",
    )
    add("--image-size", type=_size, default=(1280, 720), metavar="WxH", help="image size of that camera [1280x720]")
    add("--rate", type=float, default=RATE_HZ, metavar="HZ", help="required observations per second [5]")
    return line


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)
