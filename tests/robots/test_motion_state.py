"""The state machine of a request: every way through it, and what is no way."""

from __future__ import annotations

import pytest

from robots.command import MoveBase
from robots.execution.command_request import CommandRequest
from robots.execution.motion_state import MotionState, Phase
from robots.execution.options import ExecutorOptions
from robots.execution.watchdog import Watchdog

REQUEST = CommandRequest(1, MoveBase(0.1), valid_for_s=1.0)


def test_a_request_is_accepted_started_and_ended() -> None:
    motion = MotionState()
    motion.accept(REQUEST)
    assert (motion.phase, motion.is_moving, motion.request) == (Phase.ACCEPTED, False, REQUEST)
    motion.start(5.0, awaits_next=True)
    assert (motion.phase, motion.is_moving, motion.began_s) == (Phase.MOVING, True, 5.0)
    assert motion.end() == ""
    assert (motion.phase, motion.request, motion.awaits_next) == (Phase.IDLE, None, True)


def test_a_stop_during_a_motion_is_reported_at_its_end_and_the_last_reason_counts() -> None:
    motion = MotionState()
    motion.accept(REQUEST)
    motion.start(5.0, awaits_next=True)
    motion.stop("operator stop")
    motion.stop("runstop")
    assert (motion.phase, motion.is_moving) == (Phase.STOPPING, True)
    assert motion.end() == "runstop"
    assert (motion.phase, motion.stops, motion.awaits_next) == (Phase.IDLE, 2, False)


def test_a_stop_while_nothing_moves_is_no_part_of_the_next_motion() -> None:
    motion = MotionState()
    motion.stop("reset")
    motion.accept(REQUEST)
    motion.stop("again")
    assert motion.phase is Phase.ACCEPTED
    motion.start(5.0, awaits_next=False)
    assert motion.end() == ""
    assert motion.last_stop == "again"


def test_nothing_starts_that_was_not_accepted_and_nothing_is_accepted_twice() -> None:
    motion = MotionState()
    with pytest.raises(RuntimeError, match="got phase idle, expected accepted"):
        motion.start(5.0, awaits_next=True)
    motion.accept(REQUEST)
    with pytest.raises(RuntimeError, match="got phase accepted, expected idle"):
        motion.accept(REQUEST)


def test_a_motion_without_end_is_overdue_also_while_the_body_thread_is_busy() -> None:
    motion, watchdog = MotionState(), Watchdog(ExecutorOptions(longest_motion_s=0.1))
    watchdog.work()
    assert watchdog.overdue(motion).hold == ""
    motion.accept(REQUEST)
    motion.start(0.0, awaits_next=True)  # long ago
    assert watchdog.overdue(motion).hold == "the motion took longer than 0.1 s"
