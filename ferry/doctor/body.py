"""Checks of a robot through its own driver: it connects, looks and listens for a moment, and moves nothing."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ferry.doctor.check import CheckFailed, Doubtful, Finding, Level, Machine, examine
from ferry.doctor.server import check_binding, check_latency
from robots.embodiment import Embodiment
from robots.errors import RobotError
from robots.observation import Observation
from robots.robot import Health, Robot

WATCH_S = 2.0
"""How long the robot is looked at: thirty pictures of a camera at 15 Hz."""
POLL_S = 0.01
BATTERY_LOW, BATTERY_WORTH_A_SESSION = 0.1, 0.3
"""Charge below which robot_node moves nothing (its parameter battery_low), and below which a session may end early."""


@dataclass
class Sight:
    """What was seen of a body in `WATCH_S`.

    Attributes:
        stamps_ns: of the observations, one each.
        age_s: how old the oldest was when it came.
        pictures: camera -> checksum of each observation's picture.
        healths: what the body said of itself meanwhile.
        last: the newest observation.
        silent_s: how old the newest was at the end.
        error: why it could not be observed any further; empty otherwise.
    """

    stamps_ns: list[int] = field(default_factory=list)
    age_s: float = 0.0
    pictures: dict[str, list[int]] = field(default_factory=dict)
    healths: list[Health] = field(default_factory=list)
    last: Observation | None = None
    silent_s: float = 0.0
    error: str = ""

    @property
    def rate_hz(self) -> float:
        """Observations per second."""
        return _rate(len(self.stamps_ns), self.stamps_ns)

    def camera_hz(self, camera: str) -> float:
        """Different pictures per second: a camera with noise in its sensor never sends the same twice."""
        sums = self.pictures[camera]
        changes = sum(one != before for before, one in pairwise(sums))
        return _rate(1 + changes, self.stamps_ns)

    def see(self, observation: Observation) -> None:
        """Takes an observation, unless it is known already."""
        if self.stamps_ns and observation.stamp_ns <= self.stamps_ns[-1]:
            return
        self.stamps_ns.append(observation.stamp_ns)
        self.age_s = max(self.age_s, (time.monotonic_ns() - observation.stamp_ns) / 1e9)
        for name, image in observation.images.items():
            self.pictures.setdefault(name, []).append(zlib.adler32(image.tobytes()))
        self.last = observation


def _rate(count: int, stamps_ns: list[int]) -> float:
    return (count - 1) / max((stamps_ns[-1] - stamps_ns[0]) / 1e9, 1e-9) if len(stamps_ns) > 1 else 0.0


def examine_body(robot: Robot, rate_hz: float, machine: Machine) -> Iterator[Finding]:
    """Connects a body, looks at it, and lets it go; yields what was found as it is found.

    Args:
        robot: not connected yet.
        rate_hz: observations per second that robot_node will ask for.
        machine: whose policy server is asked, where it names one.
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
    sight = watch(robot, WATCH_S)
    yield examine("fault", lambda: check_fault(sight))
    yield examine("runstop", lambda: check_runstop(sight))
    yield examine("battery", lambda: check_battery(sight))
    yield examine("observation", lambda: check_observation(sight, rate_hz))
    if robot.spec.cameras and not sight.error:
        yield examine("cameras", lambda: check_cameras(sight, robot.spec, rate_hz))
    if machine.server:
        bound = examine("policy", lambda: check_binding(robot.spec, machine))
        yield bound
        last = sight.last
        if last is not None and bound.level is Level.OK:
            yield examine("latency", lambda: check_latency(robot.spec, last, machine))


def check_connect(robot: Robot) -> str:
    """Checks that the driver takes the body: not driven by another process, switched on, calibrated, homed."""
    try:
        robot.connect()
    except (RobotError, OSError) as error:
        found, _, fix = " ".join(str(error).split()).partition("; ")
        raise CheckFailed(found or type(error).__name__, fix or "mend what it names, then run this again") from error
    return f"{robot.spec.name} answers"


def watch(robot: Robot, seconds: float) -> Sight:
    """Observes a connected body for a while, and listens to what it says of itself."""
    sight = Sight()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and not sight.error:
        sight.healths.append(robot.health())
        try:
            sight.see(robot.observe())
        except (RobotError, OSError, RuntimeError) as error:
            sight.error = f"{type(error).__name__}: {error}"
        time.sleep(POLL_S)
    sight.silent_s = (time.monotonic_ns() - sight.stamps_ns[-1]) / 1e9 if sight.stamps_ns else seconds
    return sight


def check_fault(sight: Sight) -> str:
    """Checks that the body knows of nothing that keeps it from moving."""
    faults = [health.fault for health in sight.healths if health.fault]
    if faults:
        raise CheckFailed(faults[-1], "mend it: nothing moves while the body says so")
    notes = sight.healths[-1].notes
    return "none" + "".join(f", {name} {value:.4g}" for name, value in notes.items())


def check_runstop(sight: Sight) -> str:
    """Checks that the body's own emergency stop is not pressed."""
    if sight.healths[-1].runstop:
        raise CheckFailed("the runstop is on", "release it: on a Stretch, hold the button until it stops blinking")
    return "released"


def check_battery(sight: Sight) -> str:
    """Checks that the battery lasts."""
    charge = sight.healths[-1].battery
    if charge is None:
        return "the body does not tell its charge"
    if charge < BATTERY_LOW:
        raise CheckFailed(f"{charge:.0%}: robot_node moves nothing below {BATTERY_LOW:.0%}", "charge it")
    if charge < BATTERY_WORTH_A_SESSION:
        raise Doubtful(f"{charge:.0%}", "charge it before a long session")
    return f"{charge:.0%}"


def check_observation(sight: Sight, rate_hz: float) -> str:
    """Checks that observations come as often as robot_node will ask for them."""
    if sight.error:
        raise CheckFailed(sight.error, "mend what it names, then run this again")
    told = f"{sight.rate_hz:.1f} Hz, {rate_hz:g} Hz needed, at most {sight.age_s * 1e3:.0f} ms old"
    if sight.silent_s > 1.0 / rate_hz:
        raise CheckFailed(f"nothing new for the last {sight.silent_s:.1f} s", "is a camera frozen? Plug it in again")
    if sight.rate_hz < rate_hz:
        raise CheckFailed(f"too slow: {told}", "cameras want USB 3 ports and cables, or smaller pictures")
    return told


def check_cameras(sight: Sight, body: Embodiment, rate_hz: float) -> str:
    """Checks that each camera sends different pictures, often enough."""
    cameras = {camera.name: f"{camera.name} {camera.width}x{camera.height}" for camera in body.cameras}
    still = [name for name in cameras if len(set(sight.pictures[name])) == 1]
    if still:
        found = f"all {len(sight.stamps_ns)} pictures of {' and '.join(still)} are the same, to the last bit"
        raise Doubtful(found, "a real camera's sensor has noise: is it frozen, or covered? A simulated one has none")
    told = ", ".join(f"{said} at {sight.camera_hz(name):.1f} Hz" for name, said in cameras.items())
    if min(sight.camera_hz(name) for name in cameras) < rate_hz:
        raise Doubtful(f"{told}; {rate_hz:g} Hz are needed", "USB 3 ports and cables; is another program using it?")
    return told
