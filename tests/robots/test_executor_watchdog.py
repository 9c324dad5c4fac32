"""The executor's watchdog, on a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robots.command import MoveBase
from robots.execution import watchdog
from robots.execution.command_request import CommandRequest
from robots.execution.motion_state import MotionState
from robots.execution.options import ExecutorOptions
from robots.execution.watchdog import Watchdog

OPTIONS = ExecutorOptions()


def moving(now_s: float) -> tuple[Watchdog, MotionState]:
    """A watchdog, and a motion that began at this time."""
    watched, motion = Watchdog(OPTIONS), MotionState()
    watched.work()
    motion.accept(CommandRequest(1, MoveBase(0.1), 1.0, ""))
    motion.start(now_s, awaits_next=True)
    return watched, motion


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time [s], as its only entry."""
    time_s = [100.0]
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: time_s[0]))
    return time_s


def test_it_stops_within_two_control_periods_of_the_last_order(now: list[float]) -> None:
    watched, motion = moving(now[0])
    motion.end()
    watched.rest()
    for after_s, stops in ((1.4, False), (1.6, True)):
        now[0] = 100.0 + after_s * OPTIONS.control_period_s
        watched.observed()
        assert bool(watched.overdue(motion).stop) == stops
    assert OPTIONS.silence_periods < 1.6 < 2.0


def test_a_motion_has_a_time_limit_and_needs_no_image(now: list[float]) -> None:
    watched, motion = moving(now[0])
    for after_s, holds in ((OPTIONS.longest_motion_s - 0.1, False), (OPTIONS.longest_motion_s + 0.1, True)):
        now[0] = 100.0 + after_s
        assert bool(watched.overdue(motion).hold) == holds


def test_a_camera_is_frozen_after_one_and_a_half_control_periods_at_rest(now: list[float]) -> None:
    watched, motion = Watchdog(OPTIONS), MotionState()
    for after_s, holds in ((1.4, False), (1.6, True)):
        now[0] = 100.0 + after_s * OPTIONS.control_period_s
        assert bool(watched.overdue(motion).hold) == holds
    watched.observed()
    assert not watched.overdue(motion).hold
