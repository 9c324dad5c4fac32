"""Noise in demonstrations: frequency, duration, and drives until a collision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.command import Stop
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.robot import Sent
from simulation.houses.seeds import SPLITS
from training.data.demonstration import (
    LEVEL_PROBABILITIES,
    LEVELS,
    MOVES,
    RAM_STEPS,
    Demonstration,
    Noise,
    training_episodes,
)

FREE = Sent(Stop())
BUMP = Sent(Stop(), blocked="contact")
EXPERT = "rotate_right"


def played(level: float, seed: int, steps: int, last: Sent | None = FREE) -> list[str]:
    noise = Noise(level, np.random.default_rng(seed))
    return [noise.replace(EXPERT, last) for _ in range(steps)]


def runs_of(action: str, actions: list[str]) -> list[int]:
    """Lengths of the stretches of one action."""
    text = "".join("x" if one == action else " " for one in actions)
    return [len(one) for one in text.split()]


def test_levels_are_drawn_with_shares_that_add_up() -> None:
    assert len(LEVELS) == len(LEVEL_PROBABILITIES)
    assert sum(LEVEL_PROBABILITIES) == pytest.approx(1.0)
    assert LEVELS[0] == 0.0


@given(st.integers(0, 2**31))
def test_without_noise_the_expert_is_obeyed(seed: int) -> None:
    assert set(played(0.0, seed, 100)) == {EXPERT}


@given(st.integers(0, 2**31), st.sampled_from(LEVELS))
def test_only_moves_are_put_in(seed: int, level: float) -> None:
    assert set(played(level, seed, 60)) <= {EXPERT, *MOVES}
    assert "done" not in MOVES


@given(st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_noise(seed: int) -> None:
    assert played(0.3, seed, 50) == played(0.3, seed, 50)


def test_more_noise_replaces_more() -> None:
    fractions = []
    for level in LEVELS:
        actions = [one for seed in range(100) for one in played(level, seed, 60)]
        fractions.append(sum(one != EXPERT for one in actions) / len(actions))
    assert fractions[0] == 0.0
    assert (
        0.05 < fractions[1] < 0.2
    )  # "about this fraction"; the drives ahead end sooner where there is something to hit
    assert fractions[1] < fractions[2] < 0.45


def test_a_drive_ahead_ends_after_some_steps_without_a_bump() -> None:
    lengths = [run for seed in range(300) for run in runs_of("move_ahead", played(0.1, seed, 80))]
    assert max(lengths) >= RAM_STEPS
    assert lengths.count(RAM_STEPS) > len(lengths) / 10


def test_a_drive_ahead_ends_at_the_bump() -> None:
    noise = Noise(0.3, np.random.default_rng(0))
    while not noise._ramming:
        noise.replace(EXPERT, FREE)
    assert noise.replace(EXPERT, BUMP) == EXPERT
    assert not noise._plan
    assert not noise._ramming


def test_a_bump_of_the_experts_own_does_not_end_a_random_burst() -> None:
    noise = Noise(0.3, np.random.default_rng(0))
    noise._plan = ["move_back"]
    assert noise.replace(EXPERT, BUMP) == "move_back"


def test_a_demonstration_holds_indices() -> None:
    episode = next(training_episodes(np.random.default_rng(0)))
    shown = Demonstration(episode)
    shown.add(SPOC_ACTIONS.index("done"), 20, np.zeros(1, np.float32))
    shown.add(SPOC_ACTIONS.index("move_ahead"), 3, np.ones(1, np.float32))
    assert shown.labels[1] == 0
    assert shown.previous == [20, 3]
    assert np.array_equal(shown.state, [[0.0], [1.0]])


def test_episodes_are_of_the_training_houses_and_the_same_again() -> None:
    def first(seed: int) -> list[object]:
        source = training_episodes(np.random.default_rng(seed), per_house=2, max_steps=77)
        return [next(source) for _ in range(3)]

    episodes = first(1)
    assert episodes == first(1)
    assert episodes != first(2)
    for one in episodes:
        assert one.house_seed in SPLITS["train"]  # type: ignore[attr-defined]
        assert one.max_steps == 77  # type: ignore[attr-defined]
    assert episodes[0].house_seed == episodes[1].house_seed  # type: ignore[attr-defined]
