"""The expert solves episodes, recovers from bumps and never wavers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from robots.embodiments.stretch_re1 import ACTIONS
from simulation.expert_length import expert_length
from simulation.experts.object_nav import DONE_M, ObjectNavExpert
from simulation.experts.recovery_search import MOVES
from simulation.houses.seeds import house_seed
from simulation.navigation.goals import cached_space
from simulation.navigation.visibility import visible_points
from simulation.task_registry import is_success
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions

NOISELESS = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)


def play(twin: StretchTwin, expert: ObjectNavExpert, most: int, chance: float = 0.0, seed: int = 0) -> list[str]:
    """Actions of the expert until `done`; with `chance` another one is executed."""
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    while len(chosen) < most and "done" not in chosen:
        chosen.append(expert.action())
        action = str(rng.choice(list(MOVES))) if rng.random() < chance and chosen[-1] != "done" else chosen[-1]
        twin.execute(ACTIONS[action])
    return chosen


@pytest.fixture(scope="module")
def twin() -> StretchTwin:
    twin = StretchTwin()
    twin.connect()
    return twin


def solved(twin: StretchTwin, split: str, count: int, chance: float) -> tuple[int, Counter[str], int]:
    expert = ObjectNavExpert(twin)
    successes, chosen, bumps = 0, Counter[str](), 0
    for index in range(count):
        twin.reset(sample_episode(house_seed(split, index), index))
        actions = play(twin, expert, 150, chance, index)
        successes += actions[-1] == "done" and is_success(twin)
        chosen.update(actions)
        bumps += twin.collisions
    return successes, chosen, bumps


def test_it_solves_what_it_is_given(twin: StretchTwin) -> None:
    successes, chosen, bumps = solved(twin, "val", 20, chance=0.0)
    assert successes >= 19  # 95 %
    assert bumps == 0
    assert set(chosen) <= {*MOVES, "done"}
    assert 15 < chosen.total() / 20 < 60


def test_it_solves_most_when_a_fifth_of_what_it_says_is_not_done(twin: StretchTwin) -> None:
    successes, _, _ = solved(twin, "val", 20, chance=0.2)
    assert successes >= 18  # 90 %


def test_it_says_done_with_a_margin(twin: StretchTwin) -> None:
    expert = ObjectNavExpert(twin)
    for index in range(8):
        twin.reset(sample_episode(house_seed("train", index), 4))
        assert play(twin, expert, 150)[-1] == "done"
        x, y, _ = twin.pose
        points = [p for thing in twin.house.objects_of(twin.episode.target) for p in visible_points(twin.world, thing)]
        assert min(float(np.hypot(p[0] - x, p[1] - y)) for p in points) <= DONE_M


def test_the_same_state_gives_the_same_answer(twin: StretchTwin) -> None:
    twin.reset(sample_episode(12, 3))
    expert = ObjectNavExpert(twin)
    for _ in range(15):
        first = expert.action()
        assert expert.action() == first
        assert ObjectNavExpert(twin).action() == first
        twin.execute(ACTIONS[first])


def bump(twin: StretchTwin, expert: ObjectNavExpert) -> bool:
    """Drives ahead until it is blocked."""
    for _ in range(60):
        expert.action()
        if twin.execute(ACTIONS["move_ahead"]).blocked:
            return True
    return False


@pytest.mark.parametrize("seed", range(10))
def test_after_a_bump_it_backs_out_and_turns_away(twin: StretchTwin, seed: int) -> None:
    twin.reset(sample_episode(house_seed("train", seed), seed))
    expert = ObjectNavExpert(twin)
    assert bump(twin, expert)
    touched = twin.collisions
    if twin.would_touch(MOVES["move_back"]) is not None:
        pytest.fail("choose another seed: nowhere to back out to")
    assert expert.action() == "move_back"
    twin.execute(ACTIONS["move_back"])
    after = expert.action()
    assert after.startswith("rotate_") or cached_space(twin.house.seed).clearance_at(*twin.pose[:2]) < 0.34
    chosen = play(twin, expert, 150)
    assert chosen[-1] == "done"
    assert is_success(twin)
    assert twin.collisions <= touched + 1


@pytest.mark.parametrize("seed", range(6))
def test_it_gets_out_of_corners(twin: StretchTwin, seed: int) -> None:
    """Bumps, turns and bumps again until it is wedged, then goes on."""
    twin.reset(sample_episode(house_seed("train", 100 + seed), seed))
    expert, rng = ObjectNavExpert(twin), np.random.default_rng(seed)
    for _ in range(6):
        bump(twin, expert)
        for _ in range(int(rng.integers(1, 4))):
            twin.execute(ACTIONS[str(rng.choice(["rotate_left", "rotate_right"]))])
    chosen = play(twin, expert, 250)
    assert chosen[-1] == "done"
    assert is_success(twin)


def test_it_does_not_waver(twin: StretchTwin) -> None:
    """Left, right, left, right (or ahead, back, ahead, back) is what a clone would learn to do for ever."""
    opposite = {"rotate_left": "rotate_right", "rotate_left_small": "rotate_right_small", "move_ahead": "move_back"}
    opposite |= {back: there for there, back in opposite.items()}
    for index in range(10):
        twin.reset(sample_episode(house_seed("train", 50 + index), index))
        chosen = play(twin, ObjectNavExpert(twin), 150)
        for a, b, c, d in zip(chosen, chosen[1:], chosen[2:], chosen[3:], strict=False):
            assert not (opposite.get(a) == b and c == a and d == b), chosen


def test_one_expert_goes_from_episode_to_episode(twin: StretchTwin) -> None:
    expert = ObjectNavExpert(twin)
    episode = sample_episode(3, 1)
    runs = []
    for again in (episode, sample_episode(11, 1), episode):
        twin.reset(again)
        runs.append(play(twin, expert, 150))
    assert runs[0] == runs[2]


def test_its_length_is_measured_without_noise() -> None:
    episode = sample_episode(3, 1)
    length = expert_length(episode)
    assert length == expert_length(episode)
    with StretchTwin(NOISELESS) as twin:
        twin.reset(episode)
        assert len(play(twin, ObjectNavExpert(twin), 600)) == length
    assert episode.with_expert_steps(length).expert_steps == length
    assert episode.with_expert_steps(length).with_expert_steps(None) == episode


def test_a_length_that_is_not_reached_stays_unknown() -> None:
    episode = sample_episode(3, 1, max_steps=1)
    assert expert_length(episode) is None
