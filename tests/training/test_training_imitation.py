"""The loss and the scores of behaviour cloning, by hand; the learning rate's course."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.packing import IGNORE
from training.imitation.loss import Scores, imitation_loss
from training.runtime.learning_rate import lr_factor

ACTIONS = ("ahead", "left", "done")


def test_the_loss_of_a_guess_is_the_logarithm_of_the_choices() -> None:
    loss = imitation_loss(torch.zeros(2, 3, 20), torch.randint(0, 20, (2, 3)))
    assert loss.item() == pytest.approx(math.log(20), rel=1e-5)


def test_places_without_a_step_do_not_count() -> None:
    logits = torch.randn(1, 4, 3)
    labels = torch.tensor([[2, 0, IGNORE, IGNORE]])
    expected = imitation_loss(logits[:, :2], labels[:, :2])
    logits[:, 2:] = 1e4
    assert imitation_loss(logits, labels).item() == pytest.approx(expected.item())


def test_the_loss_is_the_mean_of_minus_log_probabilities() -> None:
    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    probability = [math.exp(2) / (math.exp(2) + 2), 1 / (2 + math.e)]
    expected = -sum(map(math.log, probability)) / 2
    assert imitation_loss(logits, torch.tensor([[0, 1]])).item() == pytest.approx(expected, rel=1e-5)


def test_scores_by_hand() -> None:
    scores = Scores(ACTIONS)
    sure = torch.eye(3) * 100
    scores.add(sure[None, [0, 0, 1, 2]], torch.tensor([[0, 1, 1, IGNORE]]))
    scores.add(sure[None, [0]], torch.tensor([[0]]))
    summary = scores.summary()
    assert summary["accuracy"] == pytest.approx(3 / 4)
    assert summary["recall/ahead"] == 1.0
    assert summary["recall/left"] == 0.5
    assert "recall/done" not in summary  # it was never shown
    assert summary["loss"] == pytest.approx(100 / 4, rel=1e-3)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_scores_of_parts_equal_scores_of_the_whole(parts: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(parts, 6, 3, generator=generator)
    labels = torch.randint(0, 3, (parts, 6), generator=generator)
    whole, split = Scores(ACTIONS), Scores(ACTIONS)
    whole.add(logits, labels)
    for i in range(parts):
        split.add(logits[i : i + 1], labels[i : i + 1])
    assert whole.summary() == pytest.approx(split.summary(), rel=1e-5)
    assert whole.summary()["loss"] == pytest.approx(imitation_loss(logits, labels).item(), rel=1e-4)


def test_scores_of_nothing() -> None:
    assert Scores(ACTIONS).summary() == {"loss": 0.0, "accuracy": 0.0}


@given(st.integers(10, 500), st.floats(0.01, 0.9))
def test_the_learning_rate_rises_and_falls(total: int, fraction: float) -> None:
    warmup = max(1, round(fraction * total))
    factor = lr_factor("onecycle", total, warmup)
    course = [factor(update) for update in range(total)]
    assert max(course) == pytest.approx(1.0)
    assert course.index(max(course)) == warmup - 1
    assert course[:warmup] == sorted(course[:warmup])
    assert course[warmup:] == sorted(course[warmup:], reverse=True)
    assert all(0 <= one <= 1 for one in course)
    assert factor(total) == pytest.approx(0.0, abs=1e-9)


def test_a_constant_learning_rate_stays() -> None:
    factor = lr_factor("constant", 100, 10)
    assert [factor(update) for update in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert {factor(update) for update in range(10, 200)} == {1.0}


def test_a_cosine_is_half_way_in_the_middle() -> None:
    assert lr_factor("onecycle", 110, 10)(60) == pytest.approx(0.5)
    assert lr_factor("onecycle", 110, 10)(35) == pytest.approx(0.5 * (1 + np.cos(np.pi / 4)))
