"""SEL, path length, failed commands."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.command import MoveBase
from robots.robot import Sent
from simulation.tasks.metrics import failed_fraction, path_length, sel

lengths = st.integers(1, 1000)


def test_as_fast_as_the_expert_is_one() -> None:
    assert sel(True, 20, 20) == 1.0


def test_twice_as_long_is_a_half() -> None:
    assert sel(True, 20, 40) == 0.5


def test_faster_than_the_expert_is_not_more_than_one() -> None:
    assert sel(True, 20, 10) == 1.0


def test_a_failure_is_zero() -> None:
    assert sel(False, 20, 20) == 0.0


@given(expert=lengths, steps=lengths)
def test_it_lies_between_zero_and_one(expert: int, steps: int) -> None:
    assert 0.0 < sel(True, expert, steps) <= 1.0
    assert sel(True, expert, steps + 1) <= sel(True, expert, steps)


@pytest.mark.parametrize(("expert", "steps"), [(0, 5), (5, 0), (-1, 5)])
def test_a_length_must_be_positive(expert: int, steps: int) -> None:
    with pytest.raises(ValueError, match=rf"got expert {expert} and actual {steps}, expected at least 1"):
        sel(True, expert, steps)


def test_a_path_is_as_long_as_its_pieces() -> None:
    assert path_length([(0.0, 0.0), (3.0, 4.0), (3.0, 5.0)]) == pytest.approx(6.0)
    assert path_length([(1.0, 1.0)]) == 0.0
    assert path_length([]) == 0.0


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=8))
def test_a_path_is_never_shorter_than_the_straight_line(path: list[tuple[float, float]]) -> None:
    assert path_length(path) >= math.dist(path[0], path[-1]) - 1e-9


def test_blocked_and_refused_commands_failed() -> None:
    step = MoveBase(0.2)
    history = [Sent(step), Sent(step, blocked="wall_0"), Sent(step, refused="the gripper holds nothing"), Sent(step)]
    assert failed_fraction(history) == 0.5
    assert failed_fraction([]) == 0.0
