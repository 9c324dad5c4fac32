"""What keeps a body from moving: holds with a name and a reason, pulses that must not cease, clocks, its own health."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.robot import Health, Robot

RUNSTOP = "runstop"
"""Name of the hold that the latched stop sets."""

BODY = "body"
"""Name of the hold that the body's own health sets."""

CAMERA = "camera"
"""Name of the hold that a missing observation sets."""

WATCH, CLOSED = "watch", "closed"
"""Names of the holds that nothing releases: a watch that failed, an executor that ends."""


@dataclass(frozen=True)
class GuardOptions:
    """What counts as trouble.

    Attributes:
        battery_low: charge, in [0, 1], below which nothing moves; where the body tells its charge.
        clock_jump_s: how far this computer's wall clock may move against its monotonic clock between two looks.
        asleep_s: how long the process may not have run between two looks; after that what it knows is old.
    """

    battery_low: float = 0.1
    clock_jump_s: float = 0.5
    asleep_s: float = 1.0


@dataclass
class Pulse:
    """Beats without which nothing moves.

    Attributes:
        timeout_s: the longest time between two beats.
        last_s: when it was heard last, on the monotonic clock; None when it never was.
    """

    timeout_s: float
    last_s: float | None = None


@dataclass
class Guard:
    """Judges whether a body may move. Not thread-safe: its executor holds a lock.

    Attributes:
        holds: name -> why nothing may move; the first word of a reason is its name for programs.
        pulses: name -> what must be heard.
    """

    options: GuardOptions = field(default_factory=GuardOptions)
    holds: dict[str, str] = field(default_factory=dict)
    pulses: dict[str, Pulse] = field(default_factory=dict)
    _looked_s: float | None = None
    _offset_s: float = 0.0

    @property
    def reason(self) -> str:
        """Why nothing may move now; empty when the body may."""
        return next(iter(self.holds.values()), "")

    def hold(self, name: str, reason: str) -> bool:
        """Keeps the body from moving until `release(name)`; True when it was not held by that name before."""
        new = name not in self.holds
        self.holds[name] = reason
        return new

    def release(self, name: str) -> bool:
        """Takes a hold away; True when there was one."""
        return self.holds.pop(name, None) is not None

    def expect(self, name: str, timeout_s: float) -> None:
        """From now on `name` must beat; until it was heard, nothing moves."""
        self.pulses[name] = Pulse(timeout_s)
        self.hold(name, f"{name} lost: it was not heard yet")

    def beat(self, name: str, now_s: float) -> None:
        """`name` was heard."""
        self.pulses[name].last_s = now_s

    def look(self, now_s: float, wall_s: float, health: Health) -> tuple[list[str], list[str]]:
        """Judges everything that time or the body itself may have changed.

        Args:
            now_s: monotonic time.
            wall_s: time of day, in seconds since the epoch.
            health: of the body.

        Returns:
            reasons for which the body must be stopped now, and names of the holds that were taken away.
        """
        stops, released = self._clocks(now_s, wall_s), []
        found = {BODY: self._health(health), **{name: self._silence(name, now_s) for name in self.pulses}}
        for name, reason in found.items():
            if reason and self.hold(name, reason):
                stops.append(reason)
            elif not reason and self.release(name):
                released.append(name)
        return stops, released

    def looked(self, now_s: float) -> None:
        """A look has lasted until now, because it had a body stopped: that was no sleep."""
        self._looked_s = now_s

    def _health(self, health: Health) -> str:
        if health.runstop:
            return "runstop: the body's own runstop is on"
        if health.fault:
            return health.fault
        if health.battery is not None and health.battery < self.options.battery_low:
            return (
                f"battery low: {100 * health.battery:.0f} %, expected at least {100 * self.options.battery_low:.0f} %"
            )
        return ""

    def _silence(self, name: str, now_s: float) -> str:
        pulse = self.pulses[name]
        if pulse.last_s is None:
            return f"{name} lost: it was not heard yet"
        silent = now_s - pulse.last_s
        return f"{name} lost: not heard for {silent:.2f} s" if silent > pulse.timeout_s else ""

    def _clocks(self, now_s: float, wall_s: float) -> list[str]:
        before_s, offset_s = self._looked_s, self._offset_s
        self._looked_s, self._offset_s = now_s, wall_s - now_s
        if before_s is None:
            return []
        asleep, moved = now_s - before_s, self._offset_s - offset_s
        stops = []
        if asleep > self.options.asleep_s:
            stops.append(f"asleep: this process did not run for {asleep:.2f} s")
        if abs(moved) > self.options.clock_jump_s:
            stops.append(f"clock jump: the time of day moved by {moved:+.2f} s")
        return stops


def ask(robot: Robot) -> Health:
    """What the body says of itself; one that cannot be asked must not move."""
    try:
        return robot.health()
    except Exception as error:  # it never should
        return Health(fault=f"health failed: {type(error).__name__}: {error}")
