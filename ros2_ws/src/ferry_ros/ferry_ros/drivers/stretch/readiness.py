"""Readiness of the vendor's driver and the Stretch: checks, and the services that establish it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ferry_ros.drivers.stretch.link import FLAGS, TEXTS, StretchLink
from ferry_ros.drivers.stretch.qpos import TOOL
from robots.errors import ConnectionFailed, RobotError

LEAST_VOLTAGE_V = 10.5  # robot_params_RE1V0.py, pimu low_voltage_alert: below, the robot stops by itself

TAKES_COMMANDS = ("position", "navigation", "trajectory")
"""The driver's modes that may be left for another; not "homing", "stowing", "runstopped" and "gamepad"."""

LISTEN_S = 0.3
"""Time in which two publishers of one quantity are detected."""

NEEDS_STREAMING = (
    "this stretch_ros2 has no streaming position control: no service /activate_streaming_position, which came with pull"
    " request 154 in August 2024; update stretch_ros2"
)


def find(link: StretchLink, timeout_s: float) -> None:
    """Raises ConnectionFailed, with what to check, unless the driver runs, is an RE1's, and the robot may move."""
    try:
        link.wait(-1, timeout_s)
    except RobotError as error:
        if link.implausible:
            raise ConnectionFailed(link.implausible) from None
        raise ConnectionFailed(f"{error}; is stretch_driver running on this ROS domain?") from None
    if not link.offers("activate_streaming_position", timeout_s):
        raise ConnectionFailed(NEEDS_STREAMING)
    expected = {*FLAGS, *TEXTS}
    if not _within(timeout_s, lambda: expected <= link.flags.keys() | link.texts.keys()):
        missing = ", ".join(f"/{name}" for name in sorted(expected - (link.flags.keys() | link.texts.keys())))
        raise ConnectionFailed(f"stretch_driver does not publish {missing}")
    time.sleep(LISTEN_S)
    if link.implausible:
        raise ConnectionFailed(link.implausible)
    if link.texts["tool"] != TOOL:
        raise ConnectionFailed(f"tool: got '{link.texts['tool']}', expected '{TOOL}', that of an RE1")
    if reason := fault(link) or runstop(link):
        raise ConnectionFailed(reason)


def engage(link: StretchLink, timeout_s: float) -> None:
    """Puts the driver into navigation mode with streaming position; RobotError when it does not go there."""
    link.ask("switch_to_navigation_mode", timeout_s)
    link.ask("activate_streaming_position", timeout_s)
    if not _within(timeout_s, lambda: engaged(link)):
        raise RobotError(f"mode: got '{link.texts.get('mode')}', expected 'navigation' with streaming position")


def engaged(link: StretchLink) -> bool:
    """True when the driver takes velocities for the base and positions for the joints."""
    return link.texts.get("mode") == "navigation" and link.flags.get("is_streaming_position", False)


def fault(link: StretchLink) -> str:
    """Reason why the robot must not move although its driver runs; empty when it may."""
    if not link.flags.get("is_homed", True):
        return "not homed: call the service /home_the_robot, with room around the robot"
    if link.voltage_v is not None and link.voltage_v < LEAST_VOLTAGE_V:
        return f"low battery: got {link.voltage_v:.1f} V, expected {LEAST_VOLTAGE_V} V at least; charge it"
    return ""


def runstop(link: StretchLink) -> str:
    """Fault of a runstop that is on; empty when it is off."""
    on = link.flags.get("is_runstopped", False)
    return "runstop: it is on; release it with its button or the service /runstop" if on else ""


def stale(link: StretchLink, stale_s: float) -> str:
    """Fault of a lost driver; empty while it publishes."""
    silent_s = link.silence_s()
    lost = f"feedback stale: stretch_driver has been silent for {silent_s:.2f} s"
    return lost if silent_s > stale_s else ""


def _within(timeout_s: float, fact: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout_s
    while not (true := fact()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return true
