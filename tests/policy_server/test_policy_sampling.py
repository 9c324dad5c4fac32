"""Choosing actions: masked ones never, the same seed the same way."""

from __future__ import annotations

import numpy as np
import pytest

from policy_server.onnx.sampling import SAMPLINGS, Sampling, choose, softmax

LOGITS = np.array([1.0, -np.inf, 3.0, 2.0], np.float32)


def test_softmax_is_exactly_zero_where_masked() -> None:
    probabilities = softmax(LOGITS)
    assert probabilities[1] == 0.0
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[2] / probabilities[3] == pytest.approx(np.e)


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([1e30, 0.0, -1e30], np.float32)), [1.0, 0.0, 0.0])


def test_greedy_takes_the_most_probable() -> None:
    action, probabilities = choose(LOGITS, "greedy", np.random.default_rng(0))
    assert action == 2
    assert probabilities.dtype == np.float32


def draws(sampling: Sampling, seed: int, count: int = 2000) -> list[int]:
    random = np.random.default_rng(seed)
    return [choose(LOGITS, sampling, random)[0] for _ in range(count)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_masked_action_is_never_chosen(sampling: Sampling) -> None:
    assert 1 not in draws(sampling, 0)


def test_sample_follows_the_probabilities() -> None:
    shares = np.bincount(draws("sample", 1), minlength=4) / 2000
    np.testing.assert_allclose(shares, softmax(LOGITS), atol=0.05)


def test_uniform_ignores_the_logits() -> None:
    shares = np.bincount(draws("uniform", 2), minlength=4) / 2000
    np.testing.assert_allclose(shares, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.05)
    _, probabilities = choose(LOGITS, "uniform", np.random.default_rng(0))
    np.testing.assert_allclose(probabilities, [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)


def test_the_seed_decides() -> None:
    assert draws("sample", 3, 50) == draws("sample", 3, 50) != draws("sample", 4, 50)
