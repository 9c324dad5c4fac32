"""Smooth ways between points: what is sampled, how fast it gets, how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robots.trajectory import LEAST_RAMP_S, Trajectory, halt, reach, through

POINT = st.tuples(*[st.floats(-2.0, 2.0)] * 2)


def sampled(way: Trajectory, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    both = [way.sample(at) for at in np.linspace(0.0, way.duration_s, count)]
    return np.array([one[0] for one in both]), np.array([one[1] for one in both])


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=6), st.floats(0.02, 0.5))
def test_no_sample_is_faster_than_the_top_speed_or_beyond_the_rows(points: list[tuple[float, float]], period: float):
    way = through(points[0], points[1:], period, (1.5, 3.0))
    positions, velocities = sampled(way)
    assert (np.abs(velocities).max(axis=0) <= np.array([1.5, 3.0]) + 1e-9).all()
    assert (positions.max(axis=0) <= np.max(points, axis=0) + 1e-9).all()
    assert (positions.min(axis=0) >= np.min(points, axis=0) - 1e-9).all()
    assert way.duration_s >= period * (len(points) - 1) - 1e-12


@settings(max_examples=30, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=5))
def test_the_peaks_are_those_of_the_samples(points: list[tuple[float, float]]):
    way = through(points[0], points[1:], 0.1, (50.0, 50.0))
    assert np.abs(sampled(way, 2000)[1]).max(axis=0) == pytest.approx(way.peaks(), abs=0.05)


def test_rows_are_passed_at_their_times_when_the_speed_allows_it() -> None:
    way = through((0.0,), [(0.1,), (0.3,), (0.2,)], 0.5, (9.0,))
    assert [float(way.sample(0.5 * k)[0][0]) for k in range(4)] == pytest.approx([0.0, 0.1, 0.3, 0.2])
    assert float(way.sample(1.0)[1][0]) == 0.0  # it turns back there
    assert way.sample(99.0)[0].tolist() == [0.2]
    assert way.sample(99.0)[1].tolist() == [0.0]


def test_a_way_that_is_too_fast_takes_longer_as_a_whole() -> None:
    assert reach((0.0, 0.0), (1.0, 0.1), (1.0, 1.0)).duration_s == pytest.approx(
        1.5
    )  # a cubic's peak is 1.5 x its mean
    assert reach((0.0,), (0.1,), (1.0,), least_s=2.0).duration_s == 2.0
    assert reach((0.3,), (0.3,), (1.0,)).duration_s == LEAST_RAMP_S


def test_a_halt_slows_down_evenly_and_goes_no_further() -> None:
    way = halt((1.0, 0.0), (2.0, -0.5), (4.0, 4.0))
    assert way.duration_s == 0.5
    assert way.sample(0.0)[1].tolist() == [2.0, -0.5]
    assert way.positions[-1].tolist() == [1.5, -0.125]
    _, velocities = sampled(way)
    assert np.diff(np.abs(velocities), axis=0).max() <= 1e-9
    assert np.abs(np.gradient(velocities[:, 0], way.duration_s / 399)).max() == pytest.approx(4.0, abs=0.01)


def test_a_standing_body_halts_where_it_is() -> None:
    way = halt((1.0,), (0.0,), (4.0,))
    assert way.duration_s == LEAST_RAMP_S
    assert way.positions.tolist() == [[1.0], [1.0]]


def test_a_window_is_part_of_the_way_and_slows_down_on_it() -> None:
    way = reach((0.0, 0.0), (3.0, 1.5), (1.0, 1.0))
    part = way.window(1.0, 0.8, 0.3, (2.0, 2.0))
    for at in (0.0, 0.3, 0.5, 0.8):
        assert part.sample(at)[0] == pytest.approx(way.sample(1.0 + at)[0], abs=0.01)
    positions, velocities = sampled(part)
    assert positions[:, 0] == pytest.approx(2 * positions[:, 1], abs=1e-9)  # on the same straight way
    assert velocities[-1].tolist() == [0.0, 0.0]
    assert (np.diff(positions[:, 0]) >= -1e-9).all()
    assert float(positions[-1, 0]) < 1.0 + 0.8 + 0.4 + 0.2
    assert np.abs(velocities).max() < 1.05


def test_the_last_window_is_the_rest_of_the_way() -> None:
    way = through((0.0,), [(0.1,), (0.2,), (0.3,)], 0.2, (9.0,))
    assert way.window(0.0, 0.8, 0.3, (2.0,)).positions.tolist() == way.positions.tolist()
    rest = way.window(0.5, 0.8, 0.3, (2.0,))
    assert rest.duration_s == pytest.approx(0.1)
    assert rest.positions[-1].tolist() == [0.3]


def test_progress_is_where_the_body_has_come_to() -> None:
    way = reach((0.0,), (1.0,), (0.5,))
    assert way.progress(way.sample(1.2)[0], 1.5, 0.8) == pytest.approx(1.2, abs=0.01)
    assert way.progress(way.sample(1.5)[0], 1.5, 0.8) == pytest.approx(1.5, abs=0.01)
    assert way.progress(way.sample(0.0)[0], 0.2, 0.8) == pytest.approx(0.0, abs=0.01)
