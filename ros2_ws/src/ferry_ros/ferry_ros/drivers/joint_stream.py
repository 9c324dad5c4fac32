"""Moves joints by positions that are streamed, where the driver behind has no timeout on them.

A target is never sent at once. What is sent runs towards it at the allowed speed and never gets further ahead of the
measured joint than a fraction of a second of motion: if this process dies, the joint goes no further than that. The
motion ends when the joints were measured to stand at their targets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Positions = Mapping[str, float]

SHORT = "short: "
"""How the reason begins for which joints made no headway any more."""


@dataclass(frozen=True)
class JointPort:
    """What a driver lends to a motion.

    Attributes:
        send: takes the next position of each moving joint [m] or [rad].
        positions: where all joints were measured last.
        trouble: why the motion must end now; empty while it may go on.
    """

    send: Callable[[Positions], None]
    positions: Callable[[], Positions]
    trouble: Callable[[], str]


@dataclass(frozen=True)
class Arrival:
    """When a joint is at its target: this `near`, standing; or this `far`, after it stood for a stall's time.

    `far` is what the vendor's own driver accepts: a servo under load, or with backlash, ends a little off.
    """

    near: float
    far: float


@dataclass(frozen=True)
class StreamTuning:
    """How joints are streamed. Choices of this project, tried on the fakes.

    Attributes:
        period_s: time between two commands; stretch_ros2 takes about 26 a second (its issue 154).
        lead_s: how many seconds of motion at the allowed speed the command may be ahead of the joint.
        stand_s: a joint that did not move for so long stands.
        stall_s: joints that made no headway for so long have met something.
        margin_s: a motion may take three times its time at the allowed speed, and this.
    """

    period_s: float = 0.05
    lead_s: float = 0.3
    stand_s: float = 0.1
    stall_s: float = 1.0
    margin_s: float = 3.0


def stand(news: Callable[[], Positions | None], arrivals: Mapping[str, Arrival]) -> None:
    """Returns once joints that were told to hold stand, as measured: a servo overshoots and comes back.

    Args:
        news: waits for the next measurement of all joints; None when it does not come, which ends this.
        arrivals: joints that must stand; one that moves less than a quarter of its `near` does.
    """
    tuning = StreamTuning()
    began = moved = time.monotonic()
    before = here = news()
    while before is not None and here is not None:
        now = time.monotonic()
        if any(abs(here[name] - before[name]) > one.near / 4 for name, one in arrivals.items()):
            moved, before = now, here
        if now - moved > tuning.stand_s or now - began > tuning.stall_s:
            return
        here = news()


class JointStream:
    """One motion of some joints to `targets` at most at `speeds`; call `run` once.

    Attributes:
        sent: what was sent last, by joint.
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
        here = port.positions()
        self.sent = {name: here[name] for name in targets}

    def run(self) -> str:
        """Returns once the joints stand at their targets, or why they do not: "short: ..." when they make no headway,
        "time limit: ..." or what the port's trouble said. Who calls must see to it that they stay there."""
        longest_s = max(abs(self._targets[name] - at) / self._speeds[name] for name, at in self.sent.items())
        began = moved = headway = time.monotonic()
        least, before = self._gap(self._port.positions()), dict(self.sent)
        while not (reason := self._port.trouble()):
            here, now = self._port.positions(), time.monotonic()
            if any(abs(here[name] - before[name]) > self._arrivals[name].near / 4 for name in self._targets):
                moved, before = now, {name: here[name] for name in self._targets}
            gap = self._gap(here)
            if gap < least - 0.25:
                headway, least = now, gap
            if gap <= 1.0 and now - moved > self._tuning.stand_s:
                return ""
            if now - headway > self._tuning.stall_s:
                return self._stalled(here)
            if now - began > 3 * longest_s + self._tuning.margin_s:
                return f"time limit: {self._where(here)}"
            self._advance(here)
        return reason

    def _gap(self, here: Positions) -> float:
        """How far the furthest joint is from its target, in units of its `near`."""
        return max(abs(target - here[name]) / self._arrivals[name].near for name, target in self._targets.items())

    def _advance(self, here: Positions) -> None:
        for name, target in self._targets.items():
            step = self._speeds[name] * self._tuning.period_s
            lead = max(self._speeds[name] * self._tuning.lead_s, 2 * self._arrivals[name].near)
            wanted = _towards(self.sent[name], target, step)
            self.sent[name] = min(max(wanted, here[name] - lead), here[name] + lead)
        self._port.send(self.sent)
        time.sleep(self._tuning.period_s)

    def _stalled(self, here: Positions) -> str:
        far = [name for name, target in self._targets.items() if abs(target - here[name]) > self._arrivals[name].far]
        return f"{SHORT}{self._where(here)}" if far else ""

    def _where(self, here: Positions) -> str:
        places = (f"{name} stands at {here[name]:.3f} of {target:.3f}" for name, target in self._targets.items())
        return ", ".join(places)


def _towards(here: float, there: float, step: float) -> float:
    return min(there, here + step) if there > here else max(there, here - step)
