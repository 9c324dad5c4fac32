from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.execution.freshness import Freshness


@pytest.fixture
def fresh() -> Freshness:
    fresh = Freshness(max_age_s=1.0)
    assert fresh.hand_out(100, taken_s=10.0)
    assert fresh.hand_out(200, taken_s=10.5)
    return fresh


def test_a_fresh_decision_is_not_refused(fresh: Freshness) -> None:
    assert fresh.refusal(200, 0.5, 10.9) == ""
    assert fresh.age_s(200, 10.9) == pytest.approx(0.4)
    assert fresh.latest_ns == 200


def test_a_stale_decision_says_how_old_it_is(fresh: Freshness) -> None:
    assert fresh.refusal(200, 0.5, 11.25) == "stale: the observation is 0.750 s old, expected at most 0.500 s"


def test_no_validity_outlives_the_largest_age(fresh: Freshness) -> None:
    assert fresh.refusal(200, 3600.0, 11.75) == "stale: the observation is 1.250 s old, expected at most 1.000 s"


def test_an_unknown_stamp_is_refused(fresh: Freshness) -> None:
    assert fresh.refusal(150, 0.5, 10.6) == "unknown: no observation with stamp 150 was handed out lately"
    assert fresh.age_s(150, 10.6) is None


@pytest.mark.parametrize("stamp_ns", [100, 200])
def test_a_used_or_older_stamp_is_a_replay(fresh: Freshness, stamp_ns: int) -> None:
    fresh.use(200)
    refusal = f"replayed: a decision from stamp 200 was executed already, got {stamp_ns}"
    assert fresh.refusal(stamp_ns, 0.9, 10.6) == refusal


def test_a_stop_voids_every_earlier_decision(fresh: Freshness) -> None:
    fresh.void("runstop")
    assert fresh.refusal(200, 0.5, 10.6) == "void: decided before the robot stopped (runstop)"
    assert fresh.hand_out(300, 10.6)
    assert fresh.refusal(300, 0.5, 10.6) == ""


@pytest.mark.parametrize("validity", [math.nan, math.inf, -math.inf])
def test_a_validity_must_be_finite(fresh: Freshness, validity: float) -> None:
    assert fresh.refusal(200, validity, 10.5) == f"validity: got {validity}, expected a finite number of seconds"


def test_a_stamp_that_does_not_advance_is_not_handed_out(fresh: Freshness) -> None:
    assert not fresh.hand_out(200, 11.0)
    assert not fresh.hand_out(50, 11.0)
    assert fresh.age_s(200, 11.0) == pytest.approx(0.5)


def test_only_the_last_stamps_are_remembered() -> None:
    fresh = Freshness(10.0, remembered=2)
    for stamp in (1, 2, 3):
        fresh.hand_out(stamp, 0.0)
    assert fresh.refusal(1, 1.0, 0.0).startswith("unknown")
    assert fresh.refusal(2, 1.0, 0.0) == ""


@given(st.lists(st.integers(0, 50), max_size=30), st.lists(st.integers(0, 50), max_size=30))
def test_what_was_executed_only_ever_grows(handed: list[int], asked: list[int]) -> None:
    fresh, executed = Freshness(1.0), []
    for stamp in handed:
        fresh.hand_out(stamp, 0.0)
    for stamp in asked:
        if not fresh.refusal(stamp, 1.0, 0.5):
            fresh.use(stamp)
            executed.append(stamp)
    assert executed == sorted(set(executed))


def test_an_observation_is_known_by_the_stamp_it_was_published_under() -> None:
    """ROS time, for one: a decision echoes it, and its age is still counted here."""
    fresh = Freshness(1.0, stamp=lambda sensed_ns: sensed_ns + 10**18)
    assert fresh.hand_out(5, 7.0) == 10**18 + 5
    assert fresh.refusal(10**18 + 5, 1.0, 7.5) == ""
    assert fresh.refusal(10**18 + 5, 1.0, 8.5).startswith("stale")
    assert fresh.refusal(5, 1.0, 7.5).startswith("unknown")
    assert fresh.hand_out(5, 7.1) is None, "no camera is frozen because of the other clock"
