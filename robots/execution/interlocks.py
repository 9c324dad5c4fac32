"""Interlocks that stop motion: named holds, heartbeat timeouts, clock jumps and hardware faults."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.robot import Health, Robot

RUNSTOP = "runstop"
"""Name of the hold that the latched emergency stop sets."""

BODY = "body"
"""Name of the hold that the robot's own health sets."""

CAMERA = "camera"
"""Name of the hold that a missing observation sets."""

WATCH, CLOSED = "watch", "closed"
"""Names of the holds that nothing releases: a watch that failed, an executor that ends."""


@dataclass(frozen=True)
class InterlockOptions:
    """Thresholds of the interlocks.

    Attributes:
        battery_low: charge, in [0, 1], below which nothing moves; ignored where the robot reports no charge.
        clock_jump_s: the largest shift of the wall clock against the monotonic clock between two updates.
        asleep_s: the longest time between two updates; after a longer one the process was suspended, its data are old.
    """

    battery_low: float = 0.1
    clock_jump_s: float = 0.5
    asleep_s: float = 1.0


@dataclass
class HeartbeatMonitor:
    """Timeout of one heartbeat; nothing moves without it.

    Attributes:
        timeout_s: the longest time between two beats.
        last_s: monotonic time of the last beat; None before the first.
    """

    timeout_s: float
    last_s: float | None = None


@dataclass
class Interlocks:
    """Decides whether a robot may move. Not thread-safe: its executor holds a lock.

    Attributes:
        holds: name -> reason why nothing may move; the first words of a reason, up to the colon, are its code.
        heartbeats: name -> monitor of a heartbeat that must be received.
    """

    options: InterlockOptions = field(default_factory=InterlockOptions)
    holds: dict[str, str] = field(default_factory=dict)
    heartbeats: dict[str, HeartbeatMonitor] = field(default_factory=dict)
    _updated_s: float | None = None
    _offset_s: float = 0.0

    @property
    def reason(self) -> str:
        """Reason why nothing may move now; empty when motion is allowed."""
        return next(iter(self.holds.values()), "")

    def hold(self, name: str, reason: str) -> bool:
        """Forbids motion until `release(name)`; True when there was no hold of that name before."""
        new = name not in self.holds
        self.holds[name] = reason
        return new

    def release(self, name: str) -> bool:
        """Removes a hold; True when there was one."""
        return self.holds.pop(name, None) is not None

    def expect(self, name: str, timeout_s: float) -> None:
        """Requires the heartbeat `name` from now on; nothing moves before its first beat."""
        self.heartbeats[name] = HeartbeatMonitor(timeout_s)
        self.hold(name, f"{name} lost: it was not heard yet")

    def beat(self, name: str, now_s: float) -> None:
        """Records a beat of `name`."""
        self.heartbeats[name].last_s = now_s

    def update(self, now_s: float, wall_s: float, health: Health) -> tuple[list[str], list[str]]:
        """Checks heartbeats, clocks and the robot's health.

        Args:
            now_s: monotonic time.
            wall_s: time of day, in seconds since the epoch.
            health: as the robot reports it.

        Returns:
            reasons for which the robot must be stopped now, and names of the holds that were released.
        """
        stops, released = self._clocks(now_s, wall_s), []
        found = {BODY: self._health(health), **{name: self._timeout(name, now_s) for name in self.heartbeats}}
        for name, reason in found.items():
            if reason and self.hold(name, reason):
                stops.append(reason)
            elif not reason and self.release(name):
                released.append(name)
        return stops, released

    def note_stop(self, now_s: float) -> None:
        """Excludes from the sleep check the time up to `now_s`, which an update spent on stopping the robot."""
        self._updated_s = now_s

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

    def _timeout(self, name: str, now_s: float) -> str:
        monitor = self.heartbeats[name]
        if monitor.last_s is None:
            return f"{name} lost: it was not heard yet"
        silent = now_s - monitor.last_s
        return f"{name} lost: not heard for {silent:.2f} s" if silent > monitor.timeout_s else ""

    def _clocks(self, now_s: float, wall_s: float) -> list[str]:
        before_s, offset_s = self._updated_s, self._offset_s
        self._updated_s, self._offset_s = now_s, wall_s - now_s
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
    """Health of the robot; an exception becomes a fault, which forbids motion."""
    try:
        return robot.health()
    except Exception as error:  # it never should
        return Health(fault=f"health failed: {type(error).__name__}: {error}")
