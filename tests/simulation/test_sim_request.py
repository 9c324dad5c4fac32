"""A success is of what was asked: instructions are read, choose an episode, or are not judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.episode import EpisodeSpec
from simulation.episode_info import episode_info
from simulation.errors import EpisodeError, SimulationError
from simulation.houses.seeds import house_seed
from simulation.request import Request, episode_for, mismatch, request_of
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.task_registry import TASKS
from simulation.twins.house_twin import StretchTwin, TwinOptions

HOUSE = house_seed("val", 0)
"""It has an apple and a mug, and no bed and no living room."""


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("find a mug", Request("object_nav", "mug")),
        ("  Search for  an Alarm Clock. ", Request("object_nav", "alarm clock")),
        ("look for the tv", Request("object_nav", "television")),
        ("go to a living room", Request("room_nav", "living room")),
        ("grab an apple", Request("pick_up", "apple")),
        ("find an apple and grab that apple", Request("fetch", "apple")),
        ("go to all 3 rooms in the house", Request("room_visit", "", "3 rooms")),
        ("find the largest mug in the kitchen", Request("object_nav_rel_attr", "mug", "the largest in the kitchen")),
        (
            "find a container that can best be used for drinking coffee",
            Request("object_nav_afford", "container", "drinking coffee"),
        ),
        ("find an apple and grab that mug", None),
        ("find a fruit that can best be used for drinking coffee", None),
        ("find a unicorn", None),
        ("bring me some tea", None),
        ("", None),
    ],
)
def test_what_an_instruction_asks_for(instruction: str, expected: Request | None) -> None:
    assert request_of(instruction) == expected


@pytest.mark.parametrize("task", TASKS)
def test_every_episode_of_every_task_is_what_its_own_instruction_asks_for(task: str) -> None:
    drawn = 0
    for index in range(8):
        try:
            episode = TASKS[task].sample(house_seed("val", index), index)
        except SimulationError:
            continue
        drawn += 1
        asked = request_of(episode.instruction)
        assert asked is not None
        assert (asked.task, asked.target) == (episode.task, episode.target)
        assert mismatch(episode.instruction, episode) == ""
    assert drawn


@pytest.mark.parametrize("instruction", ["find a mug", "go to the mug", "take a mug", "locate a mug and hold it"])
def test_an_instruction_chooses_its_episode(instruction: str) -> None:
    episode = episode_for(instruction, HOUSE, STRETCH_EYE)
    assert episode is not None
    assert (episode.target, episode.house_seed, episode.instruction) == ("mug", HOUSE, instruction)
    assert mismatch(instruction, episode) == ""


def test_what_a_house_lacks_is_reported_with_what_it_has_and_where_else_it_is() -> None:
    with pytest.raises(EpisodeError) as caught:
        episode_for("find a bed", HOUSE, STRETCH_EYE)
    words = str(caught.value)
    assert "'find a bed'" in words
    assert all(name in words for name in ("an apple", "a mug", "a television"))
    elsewhere = int(words.rpartition("house_seed ")[2].split()[0])
    there = episode_for("find a bed", elsewhere, STRETCH_EYE)
    assert there is not None
    assert there.target == "bed"


def test_what_cannot_be_read_chooses_nothing() -> None:
    assert episode_for("bring me some tea", HOUSE, STRETCH_EYE) is None


APPLE = EpisodeSpec("object_nav", HOUSE, (0.0, 0.0, 0.0), "apple", "navigate to an apple", 0)


@pytest.mark.parametrize(
    ("instruction", "episode", "fits"),
    [
        ("find an apple", APPLE, True),
        ("find a mug", APPLE, False),
        ("take an apple", APPLE, False),
        ("bring me some tea", APPLE, False),
        ("fetch dinner", replace(APPLE, instruction="Fetch dinner"), True),
        ("find a mug", replace(APPLE, instruction="find a mug"), False),
    ],
)
def test_an_instruction_is_held_against_the_target(instruction: str, episode: EpisodeSpec, fits: bool) -> None:
    assert (mismatch(instruction, episode) == "") is fits


def test_a_twin_beside_an_apple_judges_no_search_for_a_mug() -> None:
    twin = StretchTwin(TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0))
    task = TASKS["object_nav"]
    with twin:
        twin.reset(task.sample(HOUSE))
        assert twin.episode.target == "apple"
        expert = task.expert(twin)
        while (action := expert.action()) != "done":
            twin.execute(twin.spec.actions[action])
        assert episode_info(twin).success is True
        assert episode_info(twin, "find an apple").success is True
        info = episode_info(twin, "find a mug")
    assert (info.success, info.target_distance_m, info.target_visible) == (None, None, None)
    assert "find a mug" in info.not_judged
    assert "an apple" in info.not_judged
    assert len(info.to_json()["path"]) > 1
