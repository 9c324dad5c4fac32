from __future__ import annotations

import pytest

from robots.execution.interlocks import InterlockOptions, Interlocks
from robots.robot import Health

WELL = Health()


def test_a_hold_keeps_until_it_is_released() -> None:
    interlocks = Interlocks()
    assert interlocks.hold("runstop", "runstop: the runstop is on")
    assert not interlocks.hold("runstop", "runstop: again")
    assert interlocks.reason == "runstop: again"
    assert interlocks.release("runstop")
    assert not interlocks.release("runstop")
    assert interlocks.reason == ""


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        (Health(runstop=True), "runstop: the body's own runstop is on"),
        (Health(fault="bus-off: no acknowledgement on can0"), "bus-off: no acknowledgement on can0"),
        (Health(battery=0.04), "battery low: 4 %, expected at least 10 %"),
    ],
)
def test_the_body_itself_may_forbid_motion(health: Health, reason: str) -> None:
    interlocks = Interlocks()
    assert interlocks.update(0.0, 100.0, health) == ([reason], [])
    assert interlocks.reason == reason
    assert interlocks.update(0.1, 100.1, health) == ([], [])  # reported once
    assert interlocks.update(0.2, 100.2, WELL) == ([], ["body"])
    assert interlocks.reason == ""


def test_a_battery_that_is_not_told_or_full_is_no_fault() -> None:
    assert Interlocks().update(0.0, 0.0, Health(battery=0.9)) == ([], [])
    assert Interlocks().update(0.0, 0.0, WELL) == ([], [])


def test_a_required_pulse_holds_from_the_start_and_again_when_it_ceases() -> None:
    interlocks = Interlocks()
    interlocks.expect("supervisor", 0.3)
    assert interlocks.reason == "supervisor lost: it was not heard yet"
    interlocks.beat("supervisor", 1.0)
    assert interlocks.update(1.1, 0.0, WELL) == ([], ["supervisor"])
    stops, _ = interlocks.update(1.5, 0.4, WELL)
    assert stops == ["supervisor lost: not heard for 0.50 s"]
    assert interlocks.reason == stops[0]
    interlocks.beat("supervisor", 1.6)
    assert interlocks.update(1.7, 0.6, WELL) == ([], ["supervisor"])


@pytest.mark.parametrize("jump_s", [3600.0, -0.6])
def test_a_clock_that_jumps_stops_once(jump_s: float) -> None:
    interlocks = Interlocks()
    interlocks.update(0.0, 1000.0, WELL)
    assert interlocks.update(0.1, 1000.1 + jump_s, WELL) == (
        [f"clock jump: the time of day moved by {jump_s:+.2f} s"],
        [],
    )
    assert interlocks.update(0.2, 1000.2 + jump_s, WELL) == ([], [])


def test_a_process_that_slept_stops_before_it_goes_on() -> None:
    interlocks = Interlocks(InterlockOptions(asleep_s=0.5))
    interlocks.update(0.0, 10.0, WELL)
    assert interlocks.update(2.0, 12.0, WELL) == (["asleep: this process did not run for 2.00 s"], [])


def test_a_look_that_lasted_is_no_sleep() -> None:
    interlocks = Interlocks(InterlockOptions(asleep_s=0.5))
    interlocks.update(0.0, 10.0, WELL)
    interlocks.note_stop(1.9)
    assert interlocks.update(2.0, 12.0, WELL) == ([], [])
