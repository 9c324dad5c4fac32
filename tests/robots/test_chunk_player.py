"""Paths: they begin and end at rest, reach their rows, and are never faster than those."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.chunk_player import Path, through, towards
from robots.embodiment import JointLimits

F64 = np.typing.NDArray[np.float64]

LIMITS = {"a": JointLimits(-3.0, 3.0, 2.0), "b": JointLimits(-3.0, 3.0, 1.0)}
numbers = st.floats(-1.0, 1.0)


def speeds(path: Path, step_s: float = 1e-3) -> F64:
    times = np.arange(-step_s, path.duration_s + 2 * step_s, step_s)
    return np.asarray(np.diff([path.at(t) for t in times], axis=0) / step_s)


def test_a_chunk_begins_at_its_start_and_ends_at_its_last_row() -> None:
    path = through((0.0, 1.0), [(0.1, 1.0), (0.2, 0.8)], 0.2)
    assert np.allclose(path.at(-1.0), (0.0, 1.0))
    assert np.allclose(path.at(0.0), (0.0, 1.0))
    assert np.allclose(path.at(path.duration_s), (0.2, 0.8))
    assert np.allclose(path.at(99.0), (0.2, 0.8))
    assert path.duration_s == pytest.approx(0.2 * 2 + 0.1)


def test_on_a_straight_way_rows_are_passed_half_a_blend_late() -> None:
    path = through((0.0,), [(0.1,), (0.2,), (0.3,), (0.4,)], 0.2)
    for number in (1, 2, 3):
        assert path.at(number * 0.2 + path.blend_s / 2)[0] == pytest.approx(0.1 * number)


def test_a_short_period_is_blended_over_itself() -> None:
    assert through((0.0,), [(0.1,)], 0.02).blend_s == pytest.approx(0.02)


def test_a_corner_is_cut_by_an_eighth_of_the_bend() -> None:
    path = through((0.0,), [(0.1,), (0.0,)], 0.1)
    highest = max(path.at(t)[0] for t in np.arange(0.0, path.duration_s, 1e-3))
    assert highest == pytest.approx(0.1 - 0.2 / 8, abs=1e-3)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), st.floats(0.02, 0.5))
def test_it_is_never_faster_than_its_rows_and_starts_and_ends_at_rest(rows: list[F64], period_s: float) -> None:
    path = through((0.0, 0.0), rows, period_s)
    fastest = np.abs(np.diff(path.rows, axis=0)).max(axis=0) / period_s
    found = speeds(path)
    assert (np.abs(found) <= fastest + 1e-6).all()
    assert np.allclose(found[[0, -1]], 0.0, atol=1e-6)


def test_a_target_is_reached_by_all_joints_together_within_their_speeds() -> None:
    path = towards({"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 1.0}, LIMITS, 5.0)
    found = np.abs(speeds(path)).max(axis=0)
    assert found == pytest.approx((2.0, 1.0), abs=1e-3)
    assert path.duration_s == pytest.approx(1.0 + 2.0 / 5.0)


def test_a_target_is_approached_within_the_acceleration() -> None:
    path = towards({"a": 0.0, "b": 0.0}, {"a": 0.05}, LIMITS, 5.0)
    change = np.abs(np.diff(speeds(path), axis=0)).max() / 1e-3
    assert change <= 5.0 * 1.05
    assert path.at(path.duration_s).tolist() == pytest.approx([0.05, 0.0])


def test_a_target_takes_the_time_it_was_given() -> None:
    path = towards({"a": 0.0, "b": 0.0}, {"a": 0.5}, LIMITS, 5.0, least_s=3.0)
    assert path.duration_s == pytest.approx(3.0, abs=0.3)


def test_a_target_where_the_arm_is_takes_no_time() -> None:
    path = towards({"a": 0.3, "b": 0.0}, {}, LIMITS, 5.0)
    assert path.duration_s < 0.01
    assert path.end.tolist() == [0.3, 0.0]
