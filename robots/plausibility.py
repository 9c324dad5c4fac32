"""Plausibility of measurements: a joint is within its range and moves no faster than it can.

One wrong sample (an encoder's glitch) or a second source of the same joint (another node, a bag that is played) must
not become a target. An impossible measurement is rejected, and is a fault until the measurements agree again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from robots.embodiment import BaseLimits, Embodiment, JointLimits
from robots.limits import GRIPPER_JOINT

CLEAR_S = 0.5
"""Measurements that agreed for so long are accepted again, and the fault is cleared [s]."""

HEADROOM = 2.0
"""Factor on a joint's top speed: messages come in bursts, arms are moved by hand."""

MARGIN = {"rad": 0.05, "m": 0.02}
"""Additional permitted jump: noise, and the time between two readings."""

BEYOND = {"rad": 0.1, "m": 0.03}
"""A joint may be measured this far beyond its range: pushed, or moved there by hand."""

SQUEEZE_M = 0.15
"""Squeezing fingers report a negative aperture: -0.13 m of a Stretch at its full force."""

FAR_M = 1e4
"""Bound of odometry's position."""

BASE_MARGIN_M, BASE_MARGIN_RAD = 0.05, 0.15


@dataclass(frozen=True)
class Possible:
    """Bounds of one measured number: range, top speed per second, additional permitted jump, unit."""

    low: float
    high: float
    max_speed: float
    margin: float
    unit: str

    def times(self, sign: float) -> Possible:
        """Bounds of the same number counted with this sign (1.0 or -1.0)."""
        low, high = sorted((sign * self.low, sign * self.high))
        return replace(self, low=low, high=high)


def of_joint(limits: JointLimits, unit: str) -> Possible:
    """Bounds of a joint with these limits, in "rad" or "m"."""
    beyond = BEYOND[unit]
    return Possible(limits.low - beyond, limits.high + beyond, limits.max_speed, MARGIN[unit], unit)


def of_joints(body: Embodiment) -> dict[str, Possible]:
    """Bounds of every joint of an embodiment."""
    units = {name: unit for group in body.state.values() for name, unit in zip(group.names, group.units)}
    found = {name: of_joint(joint, units[name]) for name, joint in body.joints.items()}
    if fingers := body.joints.get(GRIPPER_JOINT):
        wide = (fingers.low - SQUEEZE_M, fingers.high + SQUEEZE_M)
        found[GRIPPER_JOINT] = Possible(*wide, fingers.max_speed, MARGIN["m"], "m")
    return found


def of_base(base: BaseLimits) -> dict[str, Possible]:
    """Bounds of a base's odometry: x, y [m] and unwrapped yaw [rad]."""
    axis = Possible(-FAR_M, FAR_M, base.max_speed_mps, BASE_MARGIN_M, "m")
    return {"x": axis, "y": axis, "yaw": Possible(-math.inf, math.inf, base.max_turn_radps, BASE_MARGIN_RAD, "rad")}


def unwrapped(yaw_rad: float, before_rad: float) -> float:
    """The angle that equals `yaw_rad` and is nearest to `before_rad`; NaN, which is never plausible, for no angle."""
    turned = yaw_rad - before_rad
    return before_rad + math.remainder(turned, math.tau) if math.isfinite(turned) else math.nan


@dataclass(frozen=True)
class _Sample:
    value: float
    at_s: float
    asked_s: float
    sensed_s: float | None


class Plausibility:
    """Holds each measurement against what the robot can do since the one before. One thread calls `take`."""

    def __init__(self, possible: Mapping[str, Possible], hint: str = "") -> None:
        self._possible, self._hint = possible, hint
        self._seen: dict[str, _Sample] = {}
        self._accepted: dict[str, _Sample] = {}
        self._rejected: set[str] = set()
        self._fault = ""
        self._fault_s = -math.inf

    @property
    def fault(self) -> str:
        """Text of the rejected measurement; empty once the measurements agreed for `CLEAR_S`."""
        doubted = bool(self._rejected) or time.monotonic() - self._fault_s < CLEAR_S
        return self._fault if doubted else ""

    def take(
        self, values: Mapping[str, float], at_s: float, sensed_s: float | None = None, asked_s: float | None = None
    ) -> bool:
        """Checks `values`, measured together; True when they are plausible.

        Args:
            values: number by name; those without a `Possible` are ignored.
            at_s: when they came in, on the monotonic clock.
            sensed_s: when they were sent, on the sender's clock, where that is known.
            asked_s: the earliest they can have been measured at, on the monotonic clock, where they were asked for.
        """
        since_s = at_s if asked_s is None else asked_s
        new = {
            name: _Sample(value, at_s, since_s, sensed_s) for name, value in values.items() if name in self._possible
        }
        if wrong := self._first(self._range(name, sample) for name, sample in new.items()):
            return self._reject(new, wrong, at_s)
        jump = self._first(self._jump(name, sample, self._seen.get(name)) for name, sample in new.items())
        off = self._first(self._jump(name, sample, self._accepted.get(name)) for name, sample in new.items())
        self._seen.update(new)
        if jump:
            self._fault, self._fault_s = jump, at_s
        if off and at_s - self._fault_s < CLEAR_S:
            return self._reject(new, off, self._fault_s)
        self._accepted.update(new)
        self._rejected -= new.keys()
        return True

    def _reject(self, new: Mapping[str, _Sample], why: str, at_s: float) -> bool:
        self._fault, self._fault_s = why, at_s
        self._rejected |= new.keys()
        return False

    def _first(self, reasons: Iterable[str]) -> str:
        return next((reason + self._hint for reason in reasons if reason), "")

    def _range(self, name: str, sample: _Sample) -> str:
        can = self._possible[name]
        if can.low <= sample.value <= can.high:  # false for NaN
            return ""
        return f"feedback impossible: {name} at {sample.value:.2f} {can.unit}, expected {can.low:.2f} to {can.high:.2f}"

    def _jump(self, name: str, sample: _Sample, before: _Sample | None) -> str:
        if before is None:
            return ""
        can, past_s, jump = self._possible[name], _between(before, sample), abs(sample.value - before.value)
        if jump <= HEADROOM * can.max_speed * past_s + can.margin:
            return ""
        return f"feedback jumps: {name} by {jump:.2f} {can.unit} in {past_s:.3f} s"


def _between(before: _Sample, after: _Sample) -> float:
    """Longest possible time between two samples: two that arrived together may have been sent apart."""
    past_s = after.at_s - before.asked_s
    if before.sensed_s is None or after.sensed_s is None:
        return past_s
    return max(past_s, min(after.sensed_s - before.sensed_s, CLEAR_S))
