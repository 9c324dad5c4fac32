"""Checks of a robot through its own driver: connects and observes it for `WATCH_S`, and sends no motion."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ferry.doctor.check import CheckFailed, CheckWarning, Finding, Level, Machine, examine
from ferry.doctor.server import check_binding, check_latency
from robots.embodiment import Embodiment
from robots.errors import RobotError
from robots.observation import Observation
from robots.robot import Health, Robot

WATCH_S = 2.0
"""Observation time of the robot: thirty images of a camera at 15 Hz."""
POLL_S = 0.01
BATTERY_LOW, BATTERY_WORTH_A_SESSION = 0.1, 0.3
"""Charge below which robot_node moves nothing (its parameter battery_low), and below which a session may end early."""


@dataclass
class Watched:
    """Observations and health of a robot during `WATCH_S`.

    Attributes:
        stamps_ns: stamps of the observations.
        age_s: largest age of an observation on arrival.
        checksums: camera -> checksum of each observation's image.
        healths: every `Health` that the robot reported.
        last: the latest observation.
        silent_s: age of the latest observation at the end.
        error: the error that ended the observation; empty if there was none.
    """

    stamps_ns: list[int] = field(default_factory=list)
    age_s: float = 0.0
    checksums: dict[str, list[int]] = field(default_factory=dict)
    healths: list[Health] = field(default_factory=list)
    last: Observation | None = None
    silent_s: float = 0.0
    error: str = ""

    @property
    def rate_hz(self) -> float:
        """Observations per second."""
        return _rate(len(self.stamps_ns), self.stamps_ns)

    def camera_hz(self, camera: str) -> float:
        """Images per second that differ from the one before; sensor noise makes every real image differ."""
        sums = self.checksums[camera]
        changes = sum(after != before for before, after in pairwise(sums))
        return _rate(1 + changes, self.stamps_ns)

    def add(self, observation: Observation) -> None:
        """Adds an observation, unless it has been added before."""
        if self.stamps_ns and observation.stamp_ns <= self.stamps_ns[-1]:
            return
        self.stamps_ns.append(observation.stamp_ns)
        self.age_s = max(self.age_s, (time.monotonic_ns() - observation.stamp_ns) / 1e9)
        for name, image in observation.images.items():
            self.checksums.setdefault(name, []).append(zlib.adler32(image.tobytes()))
        self.last = observation


def _rate(count: int, stamps_ns: list[int]) -> float:
    return (count - 1) / max((stamps_ns[-1] - stamps_ns[0]) / 1e9, 1e-9) if len(stamps_ns) > 1 else 0.0


def examine_robot(robot: Robot, rate_hz: float, machine: Machine) -> Iterator[Finding]:
    """Connects a robot, observes it and disconnects; yields each finding as it is made.

    Args:
        robot: the robot, not yet connected.
        rate_hz: observation rate of robot_node.
        machine: names the policy server to check, if there is one.
    """
    connected = examine("connect", lambda: check_connect(robot))
    yield connected
    if connected.level is not Level.FAIL:
        try:
            yield from _examine_connected(robot, rate_hz, machine)
        finally:
            try:
                robot.stop()
            finally:
                robot.disconnect()
    elif machine.server:
        yield examine("policy", lambda: check_binding(robot.spec, machine))


def _examine_connected(robot: Robot, rate_hz: float, machine: Machine) -> Iterator[Finding]:
    watched = watch(robot, WATCH_S)
    yield examine("fault", lambda: check_fault(watched))
    yield examine("runstop", lambda: check_runstop(watched))
    yield examine("battery", lambda: check_battery(watched))
    yield examine("observation", lambda: check_observation(watched, rate_hz))
    if robot.spec.cameras and not watched.error:
        yield examine("cameras", lambda: check_cameras(watched, robot.spec, rate_hz))
    if machine.server:
        bound = examine("policy", lambda: check_binding(robot.spec, machine))
        yield bound
        last = watched.last
        if last is not None and bound.level is Level.OK:
            yield examine("latency", lambda: check_latency(robot.spec, last, machine))


def check_connect(robot: Robot) -> str:
    """Checks that the driver connects: robot switched on, calibrated, homed, and not driven by another process."""
    try:
        robot.connect()
    except (RobotError, OSError) as error:
        found, _, fix = " ".join(str(error).split()).partition("; ")
        raise CheckFailed(found or type(error).__name__, fix or "fix this, then run the check again") from error
    return f"{robot.spec.name} answers"


def watch(robot: Robot, seconds: float) -> Watched:
    """Observes a connected robot for a while, and records the health that it reports."""
    watched = Watched()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and not watched.error:
        watched.healths.append(robot.health())
        try:
            watched.add(robot.observe())
        except (RobotError, OSError, RuntimeError) as error:
            watched.error = f"{type(error).__name__}: {error}"
        time.sleep(POLL_S)
    watched.silent_s = (time.monotonic_ns() - watched.stamps_ns[-1]) / 1e9 if watched.stamps_ns else seconds
    return watched


def check_fault(watched: Watched) -> str:
    """Checks that the robot reports no fault."""
    faults = [health.fault for health in watched.healths if health.fault]
    if faults:
        raise CheckFailed(faults[-1], "repair it: the robot does not move while it reports this fault")
    notes = watched.healths[-1].notes
    return "none" + "".join(f", {name} {value:.4g}" for name, value in notes.items())


def check_runstop(watched: Watched) -> str:
    """Checks that the robot's own emergency stop is released."""
    if watched.healths[-1].runstop:
        raise CheckFailed("the runstop is on", "release it: on a Stretch, hold the button until it stops blinking")
    return "released"


def check_battery(watched: Watched) -> str:
    """Checks the charge of the battery."""
    charge = watched.healths[-1].battery
    if charge is None:
        return "the robot does not report its charge"
    if charge < BATTERY_LOW:
        raise CheckFailed(f"{charge:.0%}: robot_node moves nothing below {BATTERY_LOW:.0%}", "charge it")
    if charge < BATTERY_WORTH_A_SESSION:
        raise CheckWarning(f"{charge:.0%}", "charge it before a long session")
    return f"{charge:.0%}"


def check_observation(watched: Watched, rate_hz: float) -> str:
    """Checks that observations arrive at the rate of robot_node."""
    if watched.error:
        raise CheckFailed(watched.error, "fix this, then run the check again")
    measured = f"{watched.rate_hz:.1f} Hz, {rate_hz:g} Hz needed, at most {watched.age_s * 1e3:.0f} ms old"
    if watched.silent_s > 1.0 / rate_hz:
        raise CheckFailed(
            f"no new observation for the last {watched.silent_s:.1f} s", "is a camera frozen? Plug it in again"
        )
    if watched.rate_hz < rate_hz:
        raise CheckFailed(f"too slow: {measured}", "use USB 3 ports and cables, or smaller images")
    return measured


def check_cameras(watched: Watched, body: Embodiment, rate_hz: float) -> str:
    """Checks that each camera delivers changing images at the required rate."""
    cameras = {camera.name: f"{camera.name} {camera.width}x{camera.height}" for camera in body.cameras}
    frozen = [name for name in cameras if len(set(watched.checksums[name])) == 1]
    if frozen:
        found = f"all {len(watched.stamps_ns)} images of {' and '.join(frozen)} are identical"
        raise CheckWarning(
            found, "a real sensor has noise: is the camera frozen or covered? (Simulated cameras have no noise.)"
        )
    measured = ", ".join(f"{label} at {watched.camera_hz(name):.1f} Hz" for name, label in cameras.items())
    if min(watched.camera_hz(name) for name in cameras) < rate_hz:
        raise CheckWarning(
            f"{measured}; {rate_hz:g} Hz are needed", "USB 3 ports and cables; is another program using it?"
        )
    return measured
