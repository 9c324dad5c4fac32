"""Motor of a fake robot: moves along trapezoidal profiles, and is blocked by obstacles."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEP_S = 0.002
"""Longest step of the integration [s]."""


@dataclass
class Axis:
    """A motor between two hard stops. All lengths in one unit u (rad of the motor, or ticks of a servo).

    Attributes:
        position: where it is [u], in the true frame of the hard stops.
        low: hard stop [u].
        high: hard stop [u].
        velocity: [u/s].
        goal: position it goes to [u]; None when it follows `speed` instead.
        speed: with a goal the top speed (at least 0), without one the signed speed it is to take [u/s].
        acceleration: [u/s^2].
        floor: an obstacle below it [u].
        ceiling: an obstacle above it [u].
        pushing: -1 or 1 while it presses against a stop or an obstacle, 0 otherwise.
    """

    position: float
    low: float
    high: float
    velocity: float = 0.0
    goal: float | None = None
    speed: float = 0.0
    acceleration: float = 1.0
    floor: float = -math.inf
    ceiling: float = math.inf
    pushing: int = 0

    @property
    def arrived(self) -> bool:
        """True when the motion has ended."""
        if self.goal is None:
            return self.velocity == 0.0 and self.speed == 0.0
        return self.velocity == 0.0 and self.position == self.goal

    def go(self, goal: float, speed: float, acceleration: float) -> None:
        """Goes to `goal` and stays there."""
        self.goal, self.speed, self.acceleration = goal, abs(speed), abs(acceleration)

    def run(self, speed: float, acceleration: float) -> None:
        """Takes `speed` and keeps it."""
        self.goal, self.speed, self.acceleration = None, speed, abs(acceleration)

    def put(self, place: float) -> None:
        """Is turned to `place` by hand, at once, and stays there."""
        self.position = self.goal = min(max(place, self.low), self.high)
        self.velocity = 0.0

    def obstruct(self, place: float) -> None:
        """Places an obstacle at `place` [u]; it blocks from both sides."""
        if place >= self.position:
            self.ceiling = place
        else:
            self.floor = place

    def clear(self) -> None:
        """Removes all obstacles."""
        self.floor, self.ceiling = -math.inf, math.inf

    def step(self, seconds: float) -> None:
        """Lets time pass."""
        while seconds > 1e-9:
            slice_s = min(STEP_S, seconds)
            seconds -= slice_s
            self._advance(slice_s)

    def _advance(self, dt: float) -> None:
        most = self.acceleration * dt
        left = 0.0 if self.goal is None else self.goal - self.position
        wanted = self.speed if self.goal is None else self._approach(left, dt)
        self.velocity += max(-most, min(most, wanted - self.velocity))
        there = self.position + self.velocity * dt
        if self.goal is not None and abs(left) <= max(abs(self.velocity) * dt, 1e-9) and abs(self.velocity) <= 2 * most:
            there, self.velocity = self.goal, 0.0
        kept = min(max(there, self.low, self.floor), self.high, self.ceiling)
        self.pushing = (there > kept) - (there < kept)
        if self.pushing:
            self.velocity = 0.0
        self.position = kept

    def _approach(self, left: float, dt: float) -> float:
        """The speed from which it can still stop at its goal."""
        braking = math.sqrt(2 * self.acceleration * abs(left))
        return math.copysign(min(self.speed, braking, abs(left) / dt), left)
