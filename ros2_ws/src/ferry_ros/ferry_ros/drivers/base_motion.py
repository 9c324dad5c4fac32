"""One step of a velocity-controlled base: measured by its odometry, ramped down, ended by an explicit zero.

A velocity command stays active until the next one, or until a timeout (2 s on a Kobuki), on which nothing here relies.
Every step ends with zeros, which are repeated until the base is at rest.
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

Fault = Callable[[], str]
"""Returns why a step must end now, or ""."""


@dataclass(frozen=True)
class BasePort:
    """Interface of a driver's base to a step: velocity commands and odometry.

    Attributes:
        send: takes the velocity forward [m/s] and the turning velocity [rad/s], counter-clockwise positive.
        pose: the newest odometry.
        fault: returns why the step must end now ("stopped", "runstop: ...", "feedback stale: ..."), or "".
    """

    send: Callable[[float, float], None]
    pose: Callable[[], Pose]
    fault: Fault


@dataclass(frozen=True)
class BaseTuning:
    """Parameters of the step controller. The defaults are choices of this project, tried on the fakes.

    Attributes:
        period_s: time between two velocity commands; the vendors' drivers take them at 10 to 50 Hz.
        latency_s: from a velocity command to its effect in the odometry; braking starts that much earlier.
        creep_mps: slowest speed towards the goal.
        creep_radps: the same for turning.
        tolerance_m: a step ends this near to its goal.
        tolerance_rad: the same for turning.
        stall_s: a driven base without progress for so long is in contact.
        margin_s: a step may take twice its time at top speed, plus this.
        settle_s: after its last zero the base must be at rest within this.
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
    """Drives straight by `distance_m`; returns, once the base is at rest, why it did not arrive, or "".

    A reason begins with "contact" or "time limit", or is that of `port.fault`.
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
    """Step along one axis [m] or [rad]; `speed` was sent last, at `sent_s`."""

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
    asleep_s: float = 0.0

    def run(self) -> str:
        """Runs the step; a base that stopped short of its target is sent the rest, three times in all at most."""
        ends_s = time.monotonic() + 2 * self.length / self.top + self.tuning.margin_s
        try:
            for _ in range(3):
                reason = self._advance(ends_s)
                reason = "; ".join(filter(None, (reason, self._come_to_rest())))
                if reason or self.length - self.travelled() <= self.tolerance:
                    break
            return reason
        finally:
            self.send(0.0)

    def _advance(self, ends_s: float) -> str:
        headway_s, farthest = time.monotonic(), self.travelled()
        while True:
            reason = self.port.fault() or self._slept()
            done, now = self.travelled(), time.monotonic()
            left = self.length - done - self.speed * self.tuning.latency_s - self.speed**2 / (2 * self.decel)
            if reason or left <= 0.0:
                return reason
            if done > farthest + self.tolerance / 4:
                headway_s, farthest = now, done
            so_far = f"the base came {done:.3f} of {self.length:.3f} {self.unit}"
            if now - headway_s > self.tuning.stall_s:
                return f"contact: {so_far} and does not move although it is driven"
            if now > ends_s:
                return f"time limit: {so_far}"
            self._command(max(self.creep, min(self.top, self._braking_speed(left))))

    def _braking_speed(self, left: float) -> float:
        """Speed from which half of the deceleration is enough to stop within `left`."""
        return math.sqrt(self.decel * left)

    def _slept(self) -> str:
        """Reason to abort after the process was suspended: the base's own watchdog has stopped it by then; or ""."""
        self._notice(time.monotonic() - self.sent_s)
        return f"asleep: this process did not run for {self.asleep_s:.2f} s" if self.asleep_s else ""

    def _notice(self, past_s: float) -> None:
        if past_s > ASLEEP_S:
            self.speed, self.asleep_s = 0.0, max(past_s, self.asleep_s)

    def _command(self, wanted: float) -> None:
        began_s = time.monotonic()
        wanted = 0.0 if self._slept() else wanted
        change = self.decel * self.tuning.period_s
        self.speed = min(max(wanted, self.speed - change), self.speed + change)
        self.send(self.speed)
        self.sent_s = time.monotonic()
        self._notice(self.sent_s - began_s)
        if self.asleep_s:  # also where the process was suspended between looking and sending
            self.send(0.0)
        time.sleep(self.tuning.period_s)

    def _come_to_rest(self) -> str:
        """Ramps down, then sends zero until the odometry has not changed for three periods; returns the failure."""
        while self.speed > 0.0:
            self._command(0.0)
        still, before, ends_s = 0, self.travelled(), time.monotonic() + self.tuning.settle_s
        while still < 3 and time.monotonic() < ends_s:
            self._command(0.0)
            now = self.travelled()
            still, before = (still + 1 if abs(now - before) < self.tolerance / 10 else 0), now
        return "" if still == 3 else f"time limit: the base is not at rest {self.tuning.settle_s} s after zero was sent"
