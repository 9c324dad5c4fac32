"""One step of a mobile base that takes velocities: watched on its odometry, ramped down, ended by an explicit zero.

A velocity interface moves until it is told otherwise, or until somebody's timeout (2 s on a Kobuki); nothing here
relies on one. Whatever ends a step, the last thing sent is zero, again and again until the base stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from robots.arms.tracking import ASLEEP_S
from robots.embodiment import BaseLimits

Pose = tuple[float, float, float]
"""(x_m, y_m, yaw_rad) of `base_link` in `odom`."""


@dataclass(frozen=True)
class BasePort:
    """What a driver lends to a step: how its base is told to move and how it is seen.

    Attributes:
        send: takes the velocity forward [m/s] and the turning velocity [rad/s], counter-clockwise positive.
        pose: the newest odometry.
        trouble: why the step must end now ("stopped", "runstop: ...", "feedback stale: ..."); empty while it may go on.
    """

    send: Callable[[float, float], None]
    pose: Callable[[], Pose]
    trouble: Callable[[], str]


@dataclass(frozen=True)
class BaseTuning:
    """How a step is steered. The defaults are choices of this project, tried on the fakes.

    Attributes:
        period_s: time between two velocity commands; the vendors' drivers take them at 10 to 50 Hz.
        latency_s: from a velocity sent to its effect seen in the odometry; the base is told to brake that much earlier.
        creep_mps: slowest speed towards the goal.
        creep_radps: the same for turning.
        tolerance_m: a step ends this near to its goal.
        tolerance_rad: the same for turning.
        stall_s: a base that is driven and makes no headway for so long has met something.
        margin_s: a step may take twice the time of its way at top speed, and this.
        settle_s: after its last zero a base must stand within this.
    """

    period_s: float = 1.0 / 30.0
    latency_s: float = 0.1
    creep_mps: float = 0.02
    creep_radps: float = 0.10
    tolerance_m: float = 0.01
    tolerance_rad: float = math.radians(1.0)
    stall_s: float = 1.0
    margin_s: float = 3.0
    settle_s: float = 1.0


TUNING = BaseTuning()


def drive(port: BasePort, limits: BaseLimits, distance_m: float, tuning: BaseTuning = TUNING) -> str:
    """Drives straight by `distance_m`; returns once the base stands: why it did not get there, or nothing.

    A reason begins with "contact", "time limit" or is what `port.trouble` said.
    """
    sign = math.copysign(1.0, distance_m)
    x0, y0, yaw0 = port.pose()

    def travelled() -> float:
        x, y, _ = port.pose()
        return sign * ((x - x0) * math.cos(yaw0) + (y - y0) * math.sin(yaw0))

    return _Step(
        port=port,
        send=lambda speed: port.send(sign * speed, 0.0),
        travelled=travelled,
        length=abs(distance_m),
        unit="m",
        top=limits.max_speed_mps,
        decel=limits.max_decel_mps2,
        creep=min(tuning.creep_mps, limits.max_speed_mps),
        tolerance=tuning.tolerance_m,
        tuning=tuning,
    ).run()


def turn(port: BasePort, limits: BaseLimits, angle_rad: float, tuning: BaseTuning = TUNING) -> str:
    """Turns in place by `angle_rad`, counter-clockwise positive; as `drive` otherwise."""
    sign = math.copysign(1.0, angle_rad)
    last, total = port.pose()[2], 0.0

    def travelled() -> float:
        nonlocal last, total
        yaw = port.pose()[2]
        total, last = total + math.remainder(yaw - last, 2 * math.pi), yaw
        return sign * total

    return _Step(
        port=port,
        send=lambda speed: port.send(0.0, sign * speed),
        travelled=travelled,
        length=abs(angle_rad),
        unit="rad",
        top=limits.max_turn_radps,
        decel=limits.max_turn_decel_radps2,
        creep=min(tuning.creep_radps, limits.max_turn_radps),
        tolerance=tuning.tolerance_rad,
        tuning=tuning,
    ).run()


@dataclass
class _Step:
    """A step along one axis [m] or [rad]; `speed` is what was sent last, at `sent_s`."""

    port: BasePort
    send: Callable[[float], None]
    travelled: Callable[[], float]
    length: float
    unit: str
    top: float
    decel: float
    creep: float
    tolerance: float
    tuning: BaseTuning
    speed: float = 0.0
    sent_s: float = math.inf

    def run(self) -> str:
        """A base that stopped short for its own inertia is sent the rest of the way, three times at most."""
        ends_s = time.monotonic() + 2 * self.length / self.top + self.tuning.margin_s
        try:
            for _ in range(3):
                reason = self._advance(ends_s)
                reason = "; ".join(filter(None, (reason, self._come_to_a_stand())))
                if reason or self.length - self.travelled() <= self.tolerance:
                    break
            return reason
        finally:
            self.send(0.0)

    def _advance(self, ends_s: float) -> str:
        headway_s, farthest = time.monotonic(), self.travelled()
        while True:
            reason = self.port.trouble() or self._slept()
            done, now = self.travelled(), time.monotonic()
            left = self.length - done - self.speed * self.tuning.latency_s - self.speed**2 / (2 * self.decel)
            if reason or left <= 0.0:
                return reason
            if done > farthest + self.tolerance / 4:
                headway_s, farthest = now, done
            so_far = f"the base came {done:.3f} of {self.length:.3f} {self.unit}"
            if now - headway_s > self.tuning.stall_s:
                return f"contact: {so_far} and stands although it is driven"
            if now > ends_s:
                return f"time limit: {so_far}"
            self._command(max(self.creep, min(self.top, self._braking_speed(left))))

    def _braking_speed(self, left: float) -> float:
        """From this speed half of the deceleration is enough to stop within `left`, and more."""
        return math.sqrt(self.decel * left)

    def _slept(self) -> str:
        """Why the step must not go on: the base was sent nothing for so long that it stands by its own watchdog."""
        asleep = time.monotonic() - self.sent_s
        if asleep <= ASLEEP_S:
            return ""
        self.speed = 0.0
        return f"asleep: this process did not run for {asleep:.2f} s"

    def _command(self, wanted: float) -> None:
        wanted = 0.0 if self._slept() else wanted
        change = self.decel * self.tuning.period_s
        self.speed = min(max(wanted, self.speed - change), self.speed + change)
        self.send(self.speed)
        self.sent_s = time.monotonic()
        time.sleep(self.tuning.period_s)

    def _come_to_a_stand(self) -> str:
        """Ramps down, then sends zero until the odometry stands still for three periods."""
        while self.speed > 0.0:
            self._command(0.0)
        still, before, ends_s = 0, self.travelled(), time.monotonic() + self.tuning.settle_s
        while still < 3 and time.monotonic() < ends_s:
            self._command(0.0)
            now = self.travelled()
            still, before = (still + 1 if abs(now - before) < self.tolerance / 10 else 0), now
        return "" if still == 3 else f"time limit: the base does not stand {self.tuning.settle_s} s after zero was sent"
