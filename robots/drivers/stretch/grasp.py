"""How a Stretch grasps, and how it knows that something is in its hand.

Rule: the fingers close until they stand. Something is in the hand when they stand with effort and with the fingertips
apart. It stays there until the gripper is told to move, or until the fingertips come together. The effort is not asked
again: the SDK's own sentry opens a stalled gripper a little against overheating, and the springy fingers keep their
hold. What is thinner than `empty_aperture_m` is not noticed.
"""

from __future__ import annotations

import time

from robots.drivers.stretch.motion import Motion
from robots.drivers.stretch.status import Reader, Status

LIMIT_S = 6.0
"""From fully open to fully closed at the servo's default speed of 4 rad/s takes 4 s [robot_params_RE1V0.py]."""

STANDS_S = 0.3
"""The fingers must stand this long, over two readings of their effort (the SDK reads it at 5 Hz)."""

STANDS_MPS = 0.004


class Grip:
    """The gripper's memory. See the module for the rule."""

    def __init__(
        self, motion: Motion, reader: Reader, grip_pct: float, effort_pct: float, empty_aperture_m: float
    ) -> None:
        self._motion, self._reader = motion, reader
        self._grip_pct, self._effort_pct, self._empty_m = grip_pct, effort_pct, empty_aperture_m
        self._caught = False

    def grasp(self) -> str:
        """Closes on what is there; returns why it did not come to an end, or that nothing was there."""
        self._caught = False
        self._motion.grip_to(self._grip_pct)
        began_s, looked_ns, stood_s = time.monotonic(), time.monotonic_ns(), 0.0
        while True:
            if reason := self._motion.interrupted(began_s, LIMIT_S):
                return self._motion.end(reason)
            self._reader.wait(looked_ns, 0.2)
            now = self._reader.status()
            looked_ns, hand = now.stamp_ns, now.joints["gripper_aperture"]
            stood_s = stood_s or time.monotonic() if abs(hand.velocity) < STANDS_MPS else 0.0
            if not stood_s or time.monotonic() - stood_s < STANDS_S:
                continue
            self._caught = hand.position > self._empty_m and abs(hand.effort_pct) >= self._effort_pct
            return "" if self._caught else f"nothing grasped: the fingertips are {hand.position:.3f} m apart"

    def let_go(self) -> None:
        """The gripper is told to move: nothing is held any more."""
        self._caught = False

    def holds(self, status: Status) -> bool:
        """Whether something is in the hand."""
        self._caught = self._caught and status.joints["gripper_aperture"].position > self._empty_m
        return self._caught
