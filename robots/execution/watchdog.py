"""Watchdog of an executor: a motion that takes too long, cameras that freeze, requests that cease."""

from __future__ import annotations

import time
from dataclasses import dataclass

from robots.execution.motion_state import MotionState
from robots.execution.options import ExecutorOptions


@dataclass(frozen=True)
class Overdue:
    """What did not happen in time.

    Attributes:
        hold: reason to stop, and to refuse everything until there is a new observation.
        stop: reason to stop.
    """

    hold: str = ""
    stop: str = ""


class Watchdog:
    """Keeps the times at which the body thread worked and observed. Not thread-safe: its executor holds a lock.

    Attributes:
        busy: the body thread does a job or a motion; an observation does not count: one that blocks must be detected.
        observing: it observes during a motion that chunks are joined on to.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        self._options = options
        self.busy = self.observing = False
        self._idle_since_s = self._advanced_s = time.monotonic()

    def work(self) -> None:
        """Records that the body thread begins a job or a motion."""
        self.busy = True

    def rest(self) -> None:
        """Records that it has ended."""
        if self.busy:
            self.busy, self._idle_since_s = False, time.monotonic()
        self.observing = False

    def observed(self) -> None:
        """Records an observation that advances."""
        self._advanced_s = time.monotonic()

    @property
    def observation_age_s(self) -> float:
        """Time since the last observation that advanced."""
        return time.monotonic() - self._advanced_s

    def overdue(self, motion: MotionState) -> Overdue:
        """Compares the times with their limits."""
        options, now = self._options, time.monotonic()
        if motion.is_moving and now - motion.began_s > options.longest_motion_s:
            return Overdue(hold=f"the motion took longer than {options.longest_motion_s} s")
        if self.busy and not self.observing:
            return Overdue()
        unseen = now - max(self._idle_since_s, self._advanced_s)
        if unseen > options.frozen_periods * options.control_period_s:
            return Overdue(hold=f"camera frozen: no new observation for {unseen:.2f} s")
        silent = now - self._idle_since_s if motion.awaits_next and not self.busy else 0.0
        if silent > options.silence_periods * options.control_period_s:
            return Overdue(stop=f"no fresh order for {silent:.2f} s")
        return Overdue()
