"""The verb `ferry doctor`: runs the checks in order, and prints what each found."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ferry.doctor.body import examine_body
from ferry.doctor.cameras import check_camera
from ferry.doctor.check import Finding, Level, Machine, examine
from ferry.doctor.choice import ROBOTS, Driver, choose
from ferry.doctor.clock import check_clock, check_drift, check_ntp
from ferry.doctor.machine import check_disk, check_gl, check_onnxruntime, check_python
from ferry.doctor.ros import (
    check_discovery,
    check_domain,
    check_memory,
    check_middleware,
    check_robots,
    check_ros,
)
from ferry.doctor.server import check_server
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
"""What a machine needs for the demonstration."""
ROBOT = ("python", "ros", "domain", "discovery", "middleware", "memory", "robots", "disk", "clock", "ntp", "drift")
"""What a robot's computer needs."""

RATE_HZ = 5.0
"""publish_rate_hz of the launch files: how often robot_node observes."""


@dataclass(frozen=True)
class Subject:
    """The robot that is looked at."""

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
        print(f"{failed} to mend, {warned} to look at" if failed or warned else "ready for a session")
    return int(failed > 0)


def findings(options: argparse.Namespace, subject: Subject | None, machine: Machine) -> Iterator[Finding]:
    """Yields what is found as it is found: the machine, the policy server, the robot."""
    names = options.only or [*(ROBOT if subject or options.camera else DEVELOPMENT)]
    if options.server and "server" not in names:
        names.append("server")
    for name in names:
        yield examine(name, partial(CHECKS[name], machine))
    for camera in options.camera:
        yield examine("camera", partial(check_camera, camera, options.picture, options.rate))
    if subject:
        for name, check in subject.driver.checks.items():
            yield examine(name, partial(check, subject.options, machine))
        yield from examine_body(subject.robot, options.rate, machine)


def subject_of(options: argparse.Namespace) -> Subject:
    """Returns the robot that the command line names, not connected.

    Raises:
        UsageError: it has no such driver or option.
    """
    from ferry_ros import robot_registry

    driver = choose(options.robot, options.driver)
    body = robot_registry.body(driver.body)
    said = from_parameters(options.config, body.prefix) if options.config else {}
    body_options = build(body.options, {**said, **parse(options.set)})
    return Subject(driver, body_options, body.create(body_options))


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    two = "; ".join(f"{robot}: {', '.join(drivers)}" for robot, drivers in ROBOTS.items() if len(drivers) > 1)
    line = argparse.ArgumentParser(
        prog="ferry doctor",
        description="Checks what this machine needs, and says how to get what is missing. With --robot, checks a"
        " robot and its computer before a session: it connects, looks for two seconds, and moves nothing.",
    )
    add = line.add_argument
    add("--only", action="append", choices=sorted(CHECKS), help="run this check alone; may be repeated")
    add("--server", metavar="URL", help="also check the policy server there, and whether its policy fits the robot")
    add("--token", help="bearer token of the policy server")
    add("--record", type=Path, default=Path.cwd(), metavar="FOLDER", help="where records will be written")
    add("--robot", metavar="NAME", help=f"{', '.join(ROBOTS)}, or another body that robot_node has")
    add("--driver", help=f"where a robot has two; {two}")
    add("--config", type=Path, metavar="FILE", help="the parameter file that the launch takes as config:=")
    add("--set", action="extend", nargs="+", default=[], metavar="NAME=VALUE", help="options of the driver")
    add("--camera", action="extend", nargs="+", default=[], metavar="SOURCE", help="look at these too: opencv:0")
    add("--picture", type=_size, default=(1280, 720), metavar="WxH", help="size of that camera's pictures [1280x720]")
    add("--rate", type=float, default=RATE_HZ, metavar="HZ", help="observations per second that the launch asks for")
    return line


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)
