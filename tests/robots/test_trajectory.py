"""Smooth ways between points: what is sampled, how fast it gets, how it ends, and how it is ended."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robots.arms.trajectory import F64, MIN_RAMP_S, Trajectory, halt, through, towards

POINT = st.tuples(*[st.floats(-2.0, 2.0)] * 2)
SPEEDS, DECELS = (1.5, 3.0), (2.0, 2.0)


def sampled(way: Trajectory, count: int = 400) -> tuple[F64, F64]:
    return way.samples(np.linspace(0.0, way.duration_s, count))


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=6), st.floats(0.02, 0.5))
def test_no_sample_is_faster_than_the_top_speed_or_beyond_the_rows(points: list[tuple[float, float]], period: float):
    way = through(points[0], points[1:], period, SPEEDS)
    positions, velocities = sampled(way)
    assert (np.abs(velocities).max(axis=0) <= np.array(SPEEDS) + 1e-9).all()
    assert (positions.max(axis=0) <= np.max(points, axis=0) + 1e-9).all()
    assert (positions.min(axis=0) >= np.min(points, axis=0) - 1e-9).all()
    assert way.duration_s >= period * (len(points) - 1) - 1e-12
    assert np.allclose(velocities[[0, -1]], 0.0, atol=1e-9)
    assert np.allclose(positions[[0, -1]], [points[0], points[-1]])
    assert (np.diff(way.times_s) > 0).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=5))
def test_the_peaks_are_those_of_the_samples(points: list[tuple[float, float]]):
    way = through(points[0], points[1:], 0.1, (50.0, 50.0))
    assert np.abs(sampled(way, 2000)[1]).max(axis=0) == pytest.approx(way.peaks(), abs=0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=6), st.floats(0.05, 0.5), st.floats(0.01, 0.5))
def test_dense_positions_are_near_each_other_and_miss_nothing(points: list[F64], period: float, longest: float):
    way = through(points[0], points[1:], period, SPEEDS)
    dense = way.dense(longest)
    assert np.abs(np.diff(dense, axis=0)).sum(axis=1).max() <= longest + 1e-9
    for row in sampled(way, 60)[0]:
        assert np.abs(dense - row).sum(axis=1).min() <= longest


def test_on_a_straight_path_rows_are_passed_half_a_blend_late() -> None:
    way = through((0.0,), [(0.1,), (0.2,), (0.3,), (0.4,)], 0.2, (9.0,))
    assert [way.at(number * 0.2 + 0.05)[0] for number in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.3])
    assert way.duration_s == pytest.approx(0.2 * 4 + 0.1)


def test_a_corner_is_cut_by_an_eighth_of_the_bend() -> None:
    way = through((0.0,), [(0.1,), (0.0,)], 0.1, (9.0,))
    assert sampled(way, 2000)[0].max() == pytest.approx(0.1 - 0.2 / 8, abs=1e-3)


def test_a_trajectory_that_is_too_fast_takes_longer_as_a_whole() -> None:
    assert through((0.0,), [(1.0,)], 0.5, (1.0,)).duration_s == pytest.approx(1.2)
    assert through((0.0,), [(1.0,)], 0.5, (9.0,)).duration_s == pytest.approx(0.6)


def test_a_target_is_reached_by_all_joints_together_within_their_speeds() -> None:
    way = towards((0.0, 0.0), (2.0, 1.0), (2.0, 1.0), 5.0)
    positions, velocities = sampled(way)
    assert np.abs(velocities).max(axis=0) == pytest.approx((2.0, 1.0), abs=1e-3)
    assert way.duration_s == pytest.approx(1.0 + 2.0 / 5.0)
    assert positions[:, 0] == pytest.approx(2 * positions[:, 1], abs=1e-9)


def test_a_target_is_approached_within_the_acceleration_and_no_sooner_than_asked() -> None:
    way = towards((0.0, 0.0), (0.05, 0.0), (2.0, 1.0), 5.0)
    times = np.arange(0.0, way.duration_s, 1e-3)
    assert np.abs(np.diff(way.samples(times)[1], axis=0)).max() / 1e-3 <= 5.0 * 1.01
    assert way.end.tolist() == pytest.approx([0.05, 0.0])
    assert towards((0.0,), (0.5,), (2.0,), 5.0, min_duration_s=3.0).duration_s == pytest.approx(3.0, abs=0.3)
    assert towards((0.3,), (0.3,), (2.0,), 5.0).duration_s < 0.01


def test_a_halt_slows_down_evenly_and_goes_no_further() -> None:
    way = halt((1.0, 0.0), (2.0, -0.5), (4.0, 4.0))
    assert way.duration_s == 0.5
    assert way.sample(0.0)[1].tolist() == [2.0, -0.5]
    assert way.end.tolist() == [1.5, -0.125]
    _, velocities = sampled(way)
    assert np.diff(np.abs(velocities), axis=0).max() <= 1e-9
    assert np.abs(np.gradient(velocities[:, 0], way.duration_s / 399)).max() == pytest.approx(4.0, abs=0.01)


def test_a_robot_at_rest_halts_where_it_is() -> None:
    way = halt((1.0,), (0.0,), (4.0,))
    assert way.duration_s == MIN_RAMP_S
    assert way.positions.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0])
def test_a_stop_never_ends_beyond_the_target_however_late_it_comes(share: float) -> None:
    way = towards((0.0, 0.0), (0.35, -0.1), (0.94, 0.94), 3.14)
    at_s = share * way.duration_s
    here, speed = way.sample(at_s)
    stop = way.stop(here, speed, at_s, (3.14, 3.14))
    positions, velocities = sampled(stop)
    assert (np.diff(positions[:, 0]) >= -1e-6).all()
    assert positions[:, 0].max() <= 0.35 + 1e-6
    assert positions[:, 0] == pytest.approx(-3.5 * positions[:, 1], abs=1e-6)  # on its way
    assert np.allclose(velocities[-1], 0.0)
    assert np.abs(velocities).max() <= 0.94 + 1e-6
    assert stop.duration_s <= max(MIN_RAMP_S, 0.94 / 3.14) + 1e-9


def test_a_stop_of_a_body_that_lags_and_is_slow_begins_where_it_is() -> None:
    way = towards((0.0,), (3.0,), (1.0,), 2.0)
    slow = way.stop((0.5,), (0.2,), way.progress(np.array((0.5,)), 1.5, 1.5), (2.0,))
    assert slow.duration_s == pytest.approx(0.1)
    assert slow.end[0] == pytest.approx(0.5 + 0.2 * 0.1 / 2, abs=1e-3)


def test_a_window_is_part_of_the_path_and_slows_down_on_it() -> None:
    way = towards((0.0, 0.0), (3.0, 1.5), (1.0, 1.0), 2.0)
    part = way.window(1.0, 0.8, 0.3, DECELS)
    for at in (0.0, 0.3, 0.5, 0.8):
        assert part.at(at) == pytest.approx(way.at(1.0 + at), abs=0.01)
    positions, velocities = sampled(part)
    assert positions[:, 0] == pytest.approx(2 * positions[:, 1], abs=1e-9)  # on the same straight way
    assert velocities[-1].tolist() == [0.0, 0.0]
    assert (np.diff(positions[:, 0]) >= -1e-9).all()
    assert float(positions[-1, 0]) < 1.0 + 0.8 + 0.4 + 0.2
    assert np.abs(velocities).max() < 1.05


def test_the_last_window_is_the_rest_of_the_path() -> None:
    way = through((0.0,), [(0.1,), (0.2,), (0.3,)], 0.2, (9.0,))
    assert way.window(0.0, 0.8, 0.3, (2.0,)).positions.tolist() == way.positions.tolist()
    rest = way.window(0.5, 0.8, 0.3, (2.0,))
    assert rest.duration_s == pytest.approx(0.2)
    assert rest.end.tolist() == [0.3]


def test_progress_is_where_the_body_has_come_to() -> None:
    way = towards((0.0,), (1.0,), (0.5,), 2.0)
    for at_s, latest_s in ((1.2, 1.5), (1.5, 1.5), (0.05, 0.2)):
        assert way.progress(way.at(at_s), latest_s, 0.8) == pytest.approx(at_s, abs=1e-3)


def test_nothing_leaves_its_range_or_its_speed() -> None:
    wild = halt((6.0, 0.0), (900.0, -900.0), (3.0, 3.0))
    tame = wild.clipped((-6.28, -6.28), (6.28, 6.28), (3.14, 3.14))
    assert np.abs(tame.positions).max() <= 6.28
    assert np.abs(tame.velocities).max() <= 3.14
