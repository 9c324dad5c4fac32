"""RoomNav: what counts, where it starts, and that its expert gets there."""

from __future__ import annotations

from contextlib import suppress

import pytest

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.experts.rooms import RoomNavExpert
from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.navigation.rooms import is_inside, rooms_of
from simulation.task_registry import is_success as solved
from simulation.tasks.instructions import GOTO_VERBS, with_article
from simulation.tasks.room_nav import is_success, sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions


def episodes(count: int) -> list[EpisodeSpec]:
    drawn = []
    for index in range(count):
        with suppress(EpisodeGenerationError):
            drawn.append(sample_episode(house_seed("val", index), index))
    return drawn


@pytest.fixture(scope="module")
def twin() -> StretchTwin:
    twin = StretchTwin(TwinOptions(height=24, width=40))
    twin.connect()
    return twin


def test_an_episode_starts_in_another_kind_of_room() -> None:
    drawn = episodes(25)
    assert len({episode.target for episode in drawn}) == 4
    for episode in drawn:
        house = cached_house(episode.house_seed)
        room = house.room_at(*episode.start[:2])
        assert room is not None
        assert house.rooms[room].kind != episode.target
        assert episode.target in {one.kind for one in house.rooms}
        assert episode.instruction in {f"{verb} {with_article(episode.target)}" for verb in GOTO_VERBS}
        assert (episode.task, episode.max_steps) == ("room_nav", 600)


def test_a_house_of_one_room_has_none() -> None:
    seed = next(house_seed("val", i) for i in range(20) if len(cached_house(house_seed("val", i)).rooms) == 1)
    with pytest.raises(EpisodeGenerationError, match="no path to another kind of room among 1 rooms"):
        sample_episode(seed)
    with pytest.raises(SeedError, match="episode seed: got -2"):
        sample_episode(seed, -2)


def test_any_room_of_the_kind_is_a_success(twin: StretchTwin) -> None:
    episode = episodes(3)[0]
    twin.reset(episode)
    for index, room in enumerate(twin.house.rooms):
        x, y = (float(value) for value in room.polygon.mean(axis=0))
        twin.world.base = (x, y, 0.0)
        assert is_success(twin.world, episode.target) == (index in rooms_of(twin.house, episode.target))
        assert solved(twin) == (room.kind == episode.target)
    twin.world.base = (99.0, 0.0, 0.0)
    assert not solved(twin)


def test_the_expert_says_done_clearly_inside(twin: StretchTwin) -> None:
    expert, drawn = RoomNavExpert(twin), episodes(16)
    assert len(drawn) >= 10
    for episode in drawn:
        twin.reset(episode)
        steps = 0
        while (action := expert.action()) != "done" and steps < 200:
            twin.execute(twin.spec.actions[action])
            steps += 1
        assert solved(twin)
        assert twin.collisions == 0
        rooms = [twin.house.rooms[room] for room in rooms_of(twin.house, episode.target)]
        assert any(is_inside(room, *twin.pose[:2]) for room in rooms)
