"""Grasping with a Stretch, and detection of a held object.

Rule: the fingers close until they are at rest. An object is held when they are at rest with effort and with the
fingertips apart, until the gripper is commanded to move or the fingertips come together. The effort is not checked
again: the SDK's own sentry opens a stalled gripper a little against overheating, and the springy fingers keep their
hold. An object thinner than `empty_aperture_m` is not detected.
"""

from __future__ import annotations

import time

from robots.drivers.stretch.motion import Motion
from robots.drivers.stretch.status import Reader, Status

LIMIT_S = 6.0
"""From fully open to fully closed at the servo's default speed of 4 rad/s takes 4 s [robot_params_RE1V0.py]."""

AT_REST_S = 0.3
"""The fingers must be at rest for so long, over two readings of their effort (the SDK reads it at 5 Hz)."""

AT_REST_MPS = 0.004


class Grip:
    """Grasp state of the gripper; the module docstring has the rule."""

    def __init__(
        self, motion: Motion, reader: Reader, grip_pct: float, effort_pct: float, empty_aperture_m: float
    ) -> None:
        self._motion, self._reader = motion, reader
        self._grip_pct, self._effort_pct, self._empty_m = grip_pct, effort_pct, empty_aperture_m
        self._caught = False

    def grasp(self) -> str:
        """Closes on an object; returns the failure (interrupted, or nothing grasped), or ""."""
        self._caught = False
        self._motion.grip_to(self._grip_pct)
        began_s, checked_ns, at_rest_s = time.monotonic(), time.monotonic_ns(), 0.0
        while True:
            if reason := self._motion.interrupted(began_s, LIMIT_S):
                return self._motion.end(reason)
            self._reader.wait(checked_ns, 0.2)
            now = self._reader.status()
            checked_ns, hand = now.stamp_ns, now.joints["gripper_aperture"]
            at_rest_s = at_rest_s or time.monotonic() if abs(hand.velocity) < AT_REST_MPS else 0.0
            if not at_rest_s or time.monotonic() - at_rest_s < AT_REST_S:
                continue
            self._caught = hand.position > self._empty_m and abs(hand.effort_pct) >= self._effort_pct
            return "" if self._caught else f"nothing grasped: the fingertips are {hand.position:.3f} m apart"

    def let_go(self) -> None:
        """Records that the gripper is commanded to move: it holds nothing any more."""
        self._caught = False

    def holds(self, status: Status) -> bool:
        """True while an object is held."""
        self._caught = self._caught and status.joints["gripper_aperture"].position > self._empty_m
        return self._caught
