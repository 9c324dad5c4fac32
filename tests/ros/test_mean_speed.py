"""Speeds of what reports positions alone."""

from __future__ import annotations

import pytest
from ferry_ros.messages.mean_speed import MeanSpeed

S = 10**9


def test_speed_is_the_mean_since_the_reading_before() -> None:
    speed = MeanSpeed()
    assert speed.take({"lift": 0.5}, 10 * S) == pytest.approx({"lift": 0.0})
    assert speed.take({"lift": 0.6}, 12 * S) == pytest.approx({"lift": 0.05})
    assert speed.take({"lift": 0.7}, 12 * S + 1) == pytest.approx({"lift": 0.05}), "a nanosecond is no measurement"
    assert speed.take({"lift": 0.6, "arm": 0.2}, 13 * S) == pytest.approx({"lift": 0.0, "arm": 0.0})
