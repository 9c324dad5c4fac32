"""Motion of joints by streamed positions, for drivers without a timeout on them.

A target is never sent at once. The commands move towards it at the allowed speed and never get further ahead of the
measured joint than a fraction of a second of motion: if this process dies, the joint goes no further than that. The
motion ends when the joints are measured at rest at their targets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from robots.arms.tracking import ASLEEP_S

Positions = Mapping[str, float]

SHORT = "short: "
"""Prefix of the reason of joints that no longer progress."""


@dataclass(frozen=True)
class JointPort:
    """Interface of a driver's joints to a motion.

    Attributes:
        send: takes the next position of each moving joint [m] or [rad].
        positions: last measured positions of all joints.
        fault: returns why the motion must end now, or "".
    """

    send: Callable[[Positions], None]
    positions: Callable[[], Positions]
    fault: Callable[[], str]


@dataclass(frozen=True)
class Arrival:
    """Tolerances of a joint at its target: `near` when it has come to rest; `far` after the time of a stall.

    `far` is the tolerance of the vendor's own driver: a servo under load, or with backlash, ends a little off.
    """

    near: float
    far: float


@dataclass(frozen=True)
class StreamTuning:
    """Parameters of the stream. Choices of this project, tried on the fakes.

    Attributes:
        period_s: time between two commands; stretch_ros2 takes about 26 a second (its issue 154).
        lead_s: largest lead of the command over the joint, in seconds of motion at the allowed speed.
        rest_s: a joint that did not move for so long is at rest.
        stall_s: joints without progress for so long are in contact.
        margin_s: a motion may take three times its time at the allowed speed, plus this.
    """

    period_s: float = 0.05
    lead_s: float = 0.3
    rest_s: float = 0.1
    stall_s: float = 1.0
    margin_s: float = 3.0


def wait_at_rest(news: Callable[[], Positions | None], arrivals: Mapping[str, Arrival]) -> None:
    """Waits until joints that were commanded to hold are measured at rest: a servo overshoots and comes back.

    Args:
        news: waits for the next measurement of all joints; None, which ends the wait, when there is none.
        arrivals: joints to wait for; one that moves less than a quarter of its `near` is at rest.
    """
    tuning = StreamTuning()
    began = moved = time.monotonic()
    before = current = news()
    while before is not None and current is not None:
        now = time.monotonic()
        if any(abs(current[name] - before[name]) > arrival.near / 4 for name, arrival in arrivals.items()):
            moved, before = now, current
        if now - moved > tuning.rest_s or now - began > tuning.stall_s:
            return
        current = news()


class JointStream:
    """Motion of some joints to `targets` at most at `speeds`; call `run` once.

    Attributes:
        sent: last command, by joint.
    """

    def __init__(
        self,
        port: JointPort,
        targets: Positions,
        speeds: Positions,
        arrivals: Mapping[str, Arrival],
        tuning: StreamTuning | None = None,
    ) -> None:
        self._port, self._targets, self._speeds, self._arrivals = port, targets, speeds, arrivals
        self._tuning = tuning or StreamTuning()
        current = port.positions()
        self.sent = {name: current[name] for name in targets}

    def run(self) -> str:
        """Runs the motion; returns the failure, or "" once the joints are at rest at their targets.

        A failure is "short: ..." without progress, "time limit: ...", "asleep: ..." or the port's fault. The caller
        must then hold the joints in place.
        """
        longest_s = max(abs(self._targets[name] - at) / self._speeds[name] for name, at in self.sent.items())
        began = moved = progress_at = checked = time.monotonic()
        smallest, before = self._gap(self._port.positions()), dict(self.sent)
        while not (reason := self._port.fault()):
            current, now = self._port.positions(), time.monotonic()
            if now - checked > ASLEEP_S:
                return f"asleep: this process did not run for {now - checked:.2f} s"
            checked = now
            if any(abs(current[name] - before[name]) > self._arrivals[name].near / 4 for name in self._targets):
                moved, before = now, {name: current[name] for name in self._targets}
            gap = self._gap(current)
            if gap < smallest - 0.25:
                progress_at, smallest = now, gap
            if gap <= 1.0 and now - moved > self._tuning.rest_s:
                return ""
            if now - progress_at > self._tuning.stall_s:
                return self._stalled(current)
            if now - began > 3 * longest_s + self._tuning.margin_s:
                return f"time limit: {self._where(current)}"
            self._advance(current)
        return reason

    def _gap(self, current: Positions) -> float:
        """Largest distance of a joint to its target, in units of its `near`."""
        return max(abs(target - current[name]) / self._arrivals[name].near for name, target in self._targets.items())

    def _advance(self, current: Positions) -> None:
        for name, target in self._targets.items():
            step = self._speeds[name] * self._tuning.period_s
            lead = max(self._speeds[name] * self._tuning.lead_s, 2 * self._arrivals[name].near)
            wanted = _towards(self.sent[name], target, step)
            self.sent[name] = min(max(wanted, current[name] - lead), current[name] + lead)
        self._port.send(self.sent)
        time.sleep(self._tuning.period_s)

    def _stalled(self, current: Positions) -> str:
        far = [name for name, target in self._targets.items() if abs(target - current[name]) > self._arrivals[name].far]
        return f"{SHORT}{self._where(current)}" if far else ""

    def _where(self, current: Positions) -> str:
        places = (f"{name} is at {current[name]:.3f} of {target:.3f}" for name, target in self._targets.items())
        return ", ".join(places)


def _towards(current: float, target: float, step: float) -> float:
    return min(target, current + step) if target > current else max(target, current - step)
