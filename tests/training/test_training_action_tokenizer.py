"""Action tokens: scales of the demonstrations, the round trip, and what is left as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import ConfigError, DataError
from training.vla.policy.action_tokenizer import ActionTokenizer, Statistics

UNIT = Statistics((-1.0,), (1.0,), (True,))


def test_quantiles_leave_outliers_out() -> None:
    values = np.arange(101.0)[:, None] * [1.0, 0.1]
    statistics = Statistics.of(values)
    assert statistics.low == pytest.approx((1.0, 0.1))
    assert statistics.high == pytest.approx((99.0, 9.9))


def test_bounds_zero_and_what_lies_outside() -> None:
    tokenizer = ActionTokenizer(UNIT)
    tokens = tokenizer.encode([[-1.0], [-5.0], [0.0], [0.999], [1.0], [7.0]])
    assert tokens.ravel().tolist() == [0, 0, 127, 254, 255, 255]
    assert tokens.dtype == np.uint8
    assert tokenizer.decode(tokens).ravel().tolist() == pytest.approx(
        [-254 / 255, -254 / 255, 0.0, 254 / 255, 254 / 255, 254 / 255]
    )
    assert tokenizer.decode([[127]])[0, 0] == 0.0  # exactly: LIBERO's arm keeps its orientation at exactly 0


@given(st.floats(-3.0, 5.0))
def test_a_round_trip_is_off_by_half_an_interval_at_most(value: float) -> None:
    tokenizer = ActionTokenizer(Statistics((-3.0,), (5.0,), (True,)))
    back = float(tokenizer.decode(tokenizer.encode([value]))[0])
    assert abs(back - value) <= 8.0 / 510 + 1e-6


def test_decoding_a_token_and_encoding_it_again_gives_the_token() -> None:
    tokenizer = ActionTokenizer(Statistics((-0.3, 0.0), (0.7, 2.0), (True, True)))
    tokens = np.repeat(np.arange(255)[:, None], 2, axis=1)
    assert np.array_equal(tokenizer.encode(tokenizer.decode(tokens)), tokens)


def test_a_dimension_that_never_moves_becomes_its_value_exactly() -> None:
    values = np.array([[0.0, 0.25], [0.0, 0.5], [0.0, 0.75]])
    statistics = Statistics.of(values)
    tokenizer = ActionTokenizer(statistics)
    assert statistics.constant.tolist() == [True, False]
    assert (tokenizer.encode(values)[:, 0] == 127).all()
    assert (tokenizer.decode(np.random.default_rng(0).integers(0, 256, (50, 2)))[:, 0] == 0.0).all()


def test_a_gripper_may_be_left_as_it_is() -> None:
    values = np.array([[-0.2, -1.0], [0.4, 1.0], [0.1, -0.5]])
    tokenizer = ActionTokenizer(Statistics.of(values, scaled=[True, False]))
    back = tokenizer.decode(tokenizer.encode([[0.1, -1.0], [0.1, 1.0], [0.1, 0.5], [0.1, 3.0]]))
    assert back[:, 1].tolist() == pytest.approx([-1.0, 1.0, 0.5, 1.0], abs=1 / 255)


def test_fewer_bins() -> None:
    tokenizer = ActionTokenizer(UNIT, bins=4)
    assert tokenizer.encode([[-1.0], [-0.2], [0.2], [0.9], [1.0]]).ravel().tolist() == [0, 1, 1, 2, 3]
    assert tokenizer.decode([[0], [1], [2], [3]]).ravel().tolist() == pytest.approx([-2 / 3, 0.0, 2 / 3, 2 / 3])


def test_statistics_are_plain_json() -> None:
    statistics = Statistics.of(np.random.default_rng(0).normal(size=(20, 3)), scaled=[True, True, False])
    assert Statistics.from_json(json.loads(json.dumps(statistics.to_json()))) == statistics
    with pytest.raises(ConfigError, match=r"got \['low', 'top'\]"):
        Statistics.from_json({"low": [0.0], "top": [1.0]})


@pytest.mark.parametrize(("low", "high"), [((0.0,), (float("nan"),)), ((1.0,), (0.0,)), ((0.0, 0.0), (1.0,)), ((), ())])
def test_impossible_statistics_are_refused(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="statistics"):
        Statistics(low, high, (True,) * len(low))


def test_actions_that_are_none_are_refused() -> None:
    tokenizer = ActionTokenizer(UNIT)
    with pytest.raises(DataError, match="NaN or infinity, expected finite"):
        tokenizer.encode([[float("nan")]])
    with pytest.raises(DataError, match=r"got shape \(1, 2\)"):
        tokenizer.encode([[0.0, 0.0]])
    with pytest.raises(DataError, match="expected finite rows"):
        Statistics.of(np.zeros((0, 7)))
    with pytest.raises(ConfigError, match="bins: got 2"):
        ActionTokenizer(UNIT, bins=2)
