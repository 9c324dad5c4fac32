"""The boards of a fake Stretch RE1: four steppers, the power and IMU board (pimu) and the wrist's board (wacc).

Requests, replies and their layouts: hello-robot-stretch-body 0.7.31 stepper.py (protocol p3), pimu.py (p3), wacc.py
(p2). Board variant 0 is the RE1's hardware.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from robots.fakes.stretch.axis import Axis

SAFETY, HOLD, POS_PID, VEL_PID, POS_TRAJ, VEL_TRAJ, POS_TRAJ_INCR = 0, 2, 3, 4, 5, 6, 8
AMPERE_PER_TICK = (3300 / 255) / (10 * 0.1) / 1000.0  # stepper.py effort_ticks_to_current, hardware 0
FRICTION = 0.2  # fraction of the highest current that a motion takes: estimate
WATCHDOG_S = 1.0  # the wheels' firmware stops a velocity that is not repeated
SYNC_MODE, GUARDED_MODE, VELOCITY_WATCHDOG = 4, 8, 64  # CONFIG_ENABLE_*


def board_info(number: int, kind: str, protocol: str) -> bytes:
    """Reply with the identity of the board; `protocol` e.g. "p3"."""
    return struct.pack("<B20s20s", number, f"{kind}.0".encode(), f"{kind}.v0.5.0{protocol}".encode())


def clock_us() -> int:
    """The board's clock [us]."""
    return time.monotonic_ns() // 1000


@dataclass(frozen=True)
class Order:
    """A decoded SET_COMMAND: a mode, position [rad], velocity [rad/s], acceleration [rad/s^2] and currents [A]."""

    mode: int
    x: float
    v: float
    a: float
    contact_pos: float
    contact_neg: float
    increment: int


class Stepper:
    """A stepper board and its motor.

    Attributes:
        axis: the motor in its true frame [rad].
        zero: true position where it reports 0; wrong until it is homed.
        homed: whether its zero is known.
        runstop: whether the runstop line is on.
        misread: what it reports its position is off by [rad].
    """

    def __init__(self, axis: Axis, max_current_a: float, homed: bool) -> None:
        self.axis, self._max_current_a, self.homed = axis, max_current_a, homed
        self.zero = 0.0 if homed else axis.position
        self.runstop, self.misread = False, 0.0
        self._mode, self._config, self._limits = SAFETY, 0, (-1e9, 1e9)
        self._waiting: Order | None = None
        self._order = Order(SAFETY, 0, 0, 0, max_current_a, -max_current_a, 0)
        self._events, self._in_event, self._ordered_s, self._cycles = 0, False, 0.0, 0

    def answer(self, request: bytes) -> bytes:
        """The reply to a request of the SDK."""
        kind, data = request[0], request[1:]
        if kind == 17:
            return board_info(18, "Stepper", "p3")
        if kind == 3:
            return bytes([4]) + self._status()
        if kind == 1:
            self._take(data)
            return struct.pack("<BH", 2, self._cycles)
        if kind == 5:
            self._config = data[80]  # after 20 floats
        elif kind == 9:
            self._trigger(*struct.unpack_from("<If", data))
        elif kind == 19:
            self._limits = struct.unpack_from("<ff", data)
        return bytes([kind + 1]) + bytes(110 if kind in (21, 23) else 10)

    def sync(self) -> None:
        """The pimu's pulse: what waits begins, on all motors at once."""
        if self._waiting is not None:
            order, self._waiting = self._waiting, None
            self._begin(order)

    def step(self, seconds: float) -> None:
        """Lets time pass."""
        watched = self._config & VELOCITY_WATCHDOG and self._mode in (VEL_PID, VEL_TRAJ)
        if watched and time.monotonic() - self._ordered_s > WATCHDOG_S:
            self.axis.run(0.0, self._order.a)
        if self.runstop and self._mode != SAFETY:
            self._relax()
        self.axis.step(seconds)
        current = self.axis.pushing * self._max_current_a
        guarded = self._config & GUARDED_MODE and self.axis.pushing
        if guarded and not self._order.contact_neg <= current <= self._order.contact_pos:
            self._events, self._in_event = self._events + 1, True
            self._relax()

    def _relax(self) -> None:
        self._mode = SAFETY
        self.axis.run(0.0, max(self.axis.acceleration, 1.0) * 2)

    def _take(self, data: bytes) -> None:
        mode, x, v, a, _, _, high, low, increment = struct.unpack_from("<B7fB", data)
        self._cycles = (self._cycles + 1) % 65536
        order = Order(mode, x, v, a, high, low, increment)
        if self._config & SYNC_MODE and mode != SAFETY:
            self._waiting = order
        else:
            self._begin(order)

    def _begin(self, order: Order) -> None:
        before, self._order, self._in_event = self._order, order, False
        self._ordered_s = time.monotonic()
        if self.runstop or order.mode not in (POS_PID, VEL_PID, POS_TRAJ, VEL_TRAJ, POS_TRAJ_INCR):
            self._relax()
            return
        again = self._mode == POS_TRAJ_INCR == order.mode and before.increment == order.increment
        self._mode = order.mode
        if order.mode in (VEL_PID, VEL_TRAJ):
            self.axis.run(order.v, order.a)
        elif not again:
            goal = order.x + (self.axis.position if order.mode == POS_TRAJ_INCR else self.zero)
            low, high = (limit + self.zero for limit in self._limits)
            self.axis.go(min(max(goal, low), high) if self.homed else goal, order.v, order.a)

    def _trigger(self, what: int, value: float) -> None:
        if what & 1:  # MARK_POS
            self.zero = self.axis.position - value
        if what & 16:
            self.homed = False
        if what & 32:
            self.homed = True

    def _diagnosis(self) -> int:
        axis = self.axis
        moving = abs(axis.velocity) > 0.05
        flags = {
            1: self.homed,
            2: self.runstop,
            4: axis.goal is None or abs(axis.goal - axis.position) < 0.05,
            8: abs(axis.velocity - (0.0 if axis.goal is not None else axis.speed)) < 0.1,
            16: moving,
            128: self._mode != SAFETY and not axis.arrived and not axis.pushing,
            256: True,
            512: self._in_event,
            1024: self.runstop,
            2048: self._waiting is not None,
            16384: bool(self._config & SYNC_MODE),
        }
        return sum(flag for flag, on in flags.items() if on)

    def _status(self) -> bytes:
        axis = self.axis
        direction = (axis.velocity > 0) - (axis.velocity < 0)
        current = (axis.pushing or FRICTION * direction) * self._max_current_a
        position, error = (
            axis.position - self.zero + self.misread,
            0.0 if axis.goal is None else axis.goal - axis.position,
        )
        head = struct.pack(
            "<BfdffI", self._mode, current / AMPERE_PER_TICK, position, axis.velocity, error, self._diagnosis()
        )
        return head + struct.pack("<QfIfH", clock_us(), 0.0, self._events, 0.0, 0)


class Pimu:
    """The power and IMU board.

    Attributes:
        voltage_v: of the battery.
        runstop: whether a runstop event is on.
    """

    LOWEST_V = 10.5  # robot_params_RE1V0.py pimu.config.low_voltage_alert; stop_at_low_voltage is on

    def __init__(self, voltage_v: float, on_sync: Callable[[], None]) -> None:
        self.voltage_v, self.runstop, self._on_sync, self._syncs = voltage_v, False, on_sync, 0

    def answer(self, request: bytes) -> bytes:
        """The reply to a request of the SDK."""
        kind, data = request[0], request[1:]
        if kind == 7:
            return board_info(8, "Pimu", "p3")
        if kind == 3:
            return bytes([4]) + self._status()
        if kind == 9:
            self._syncs = (self._syncs + 1) % 32768
            self._on_sync()
            return struct.pack("<Bh", 10, self._syncs)
        if kind == 5:
            (trigger,) = struct.unpack_from("<I", data)
            self.runstop = bool(trigger & 256) or (self.runstop and not trigger & 2)
            return bytes([6]) + data[:4]
        return bytes([kind + 1, 0, 0, 0, 0])

    def step(self) -> None:
        """A low battery trips the runstop."""
        self.runstop = self.runstop or self.voltage_v < self.LOWEST_V

    def _status(self) -> bytes:
        state = 16 * self.runstop + 256 * (self.voltage_v < self.LOWEST_V)
        imu = (0.0, 0.0, -9.81, *(0.0,) * 9, 1.0, *(0.0,) * 4)
        volts, amperes, celsius = self.voltage_v * 1024 / 20, 2.0 * 408 * 1024 / 3300, (400 + 19.5 * 30) * 1024 / 3300
        return struct.pack("<24fIQHf", *imu, volts, amperes, celsius, *(0.0,) * 4, state, clock_us(), 0, 0.0)


class Wacc:
    """The wrist's accelerometer board."""

    def answer(self, request: bytes) -> bytes:
        """The reply to a request of the SDK."""
        kind = request[0]
        if kind == 7:
            return board_info(8, "Wacc", "p2")
        if kind == 3:
            return struct.pack("<B3fh4BIIQI", 4, 0.0, 0.0, 9.81, 0, 0, 0, 0, 0, 0, 0, clock_us(), 0)
        return bytes([kind + 1])
