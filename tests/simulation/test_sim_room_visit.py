"""RoomVisit: what counts, where it starts, and that its expert sees every room."""

from __future__ import annotations

import numpy as np
import pytest

from robots.command import Done
from simulation.errors import SeedError
from simulation.experts.recovery_search import MOVES
from simulation.experts.rooms import RoomVisitExpert
from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.navigation.rooms import is_inside, rooms_at
from simulation.task_registry import is_success as solved
from simulation.tasks.room_visit import MAX_STEPS, is_success, sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions


@pytest.fixture(scope="module")
def twin() -> StretchTwin:
    twin = StretchTwin(TwinOptions(height=24, width=40))
    twin.connect()
    return twin


def play(twin: StretchTwin, index: int, chance: float = 0.0) -> list[str]:
    """Actions of the expert in a val house; with `chance` the base executes another one."""
    rng, expert = np.random.default_rng(index), RoomVisitExpert(twin)
    twin.reset(sample_episode(house_seed("val", index), index))
    chosen: list[str] = []
    while "done" not in chosen and len(chosen) < 400:
        chosen.append(expert.action())
        action = str(rng.choice(list(MOVES))) if rng.random() < chance and chosen[-1] in MOVES else chosen[-1]
        twin.execute(twin.spec.actions[action])
    return chosen


def test_every_room_must_have_been_marked_in_it() -> None:
    house = cached_house(house_seed("val", 24))
    middles = [(float(x), float(y)) for x, y in (room.polygon.mean(axis=0) for room in house.rooms)]
    assert is_success(house, middles)
    assert is_success(house, [*reversed(middles), middles[0]])  # in any order, and again
    assert not is_success(house, middles[1:])
    assert not is_success(house, [middles[0]] * 5)
    assert not is_success(house, [])


def test_an_episode_starts_clearly_in_a_room_and_says_how_many_there_are() -> None:
    for index in range(8):
        episode = sample_episode(house_seed("val", index), 3)
        house = cached_house(episode.house_seed)
        assert any(is_inside(room, *episode.start[:2]) for room in house.rooms)
        assert episode.instruction == (
            f"go to all {len(house.rooms)} rooms in the house. "
            "indicate when you have seen a new room and when you are done"
        )
        assert (episode.task, episode.target, episode.max_steps) == ("room_visit", "", MAX_STEPS)
    assert sample_episode(7, 1) == sample_episode(7, 1) != sample_episode(7, 2)
    with pytest.raises(SeedError, match="episode seed: got -1"):
        sample_episode(7, -1)


def test_the_expert_says_sub_done_once_in_each_room_and_then_done(twin: StretchTwin) -> None:
    for index in range(8):
        chosen = play(twin, index)
        rooms = len(twin.house.rooms)
        assert chosen[0] == "sub_done"
        assert chosen.count("sub_done") == rooms
        assert chosen[-2:] == ["sub_done", "done"]
        assert solved(twin)
        assert twin.collisions == 0
        assert len(twin.marks) == rooms
        assert all(any(is_inside(room, *mark) for room in twin.house.rooms) for mark in twin.marks)


def test_the_expert_copes_with_what_it_did_not_say(twin: StretchTwin) -> None:
    ends = [(play(twin, index, chance=0.2)[-1], solved(twin)) for index in (10, 13, 14)]
    assert ends == [("done", True)] * 3


def test_the_tour_is_short(twin: StretchTwin) -> None:
    """No room is gone through again on the way unless it joins others: five rooms are seen in under 200 decisions."""
    chosen = play(twin, 15)
    assert len(twin.house.rooms) == 5
    assert len(chosen) < 200
    assert rooms_at(twin.house, twin.path) == frozenset(range(len(twin.house.rooms)))


def test_going_through_a_room_without_a_word_does_not_count(twin: StretchTwin) -> None:
    expert = RoomVisitExpert(twin)
    twin.reset(sample_episode(house_seed("val", 15), 0))
    twin.execute(Done(subgoal=True))
    assert expert.action() != "sub_done"  # this one is acknowledged
    twin.marks.clear()
    assert expert.action() == "sub_done"
    assert not solved(twin)
