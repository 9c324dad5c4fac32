"""The Gymnasium environment."""

from __future__ import annotations

import math
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.errors import EpisodeError, SeedError
from simulation.gym_env import IDS, TARGETS, TOKENS, FerryEnv
from simulation.houses.seeds import SPLITS, house_seed, split_of
from simulation.task_registry import TASKS, task
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import TwinOptions

SMALL = TwinOptions(height=24, width=40)


def act(env: FerryEnv, name: str) -> tuple[dict[str, object], float, bool, bool, dict[str, object]]:
    return env.step(np.int64(SPOC_ACTIONS.index(name)))


@pytest.fixture
def env() -> Iterator[FerryEnv]:
    env = FerryEnv(SMALL, max_steps=60)
    yield env
    env.close()


def test_gymnasiums_own_checker_is_content() -> None:
    env = gymnasium.make("Ferry/ObjectNav-v0", options=SMALL, max_steps=20).unwrapped
    check_env(env)
    env.close()


def test_the_first_observation(env: FerryEnv) -> None:
    episode = sample_episode(3, 1)
    seen, info = env.reset(seed=1, options={"episode": episode})
    assert env.observation_space.contains(seen)
    assert seen["navigation"].shape == (24, 40, 3)
    assert (seen["previous_action"], seen["step"].tolist(), seen["state"].tolist()) == (TOKENS.start, [0], [0.0])
    assert TARGETS[seen["goal"]] == episode.target
    assert info["instruction"] == episode.instruction
    assert info["episode"] == episode.to_json()


def test_houses_are_drawn_from_the_split() -> None:
    env = FerryEnv(SMALL, split="val")
    drawn = [env.reset(seed=seed)[1]["episode"]["house_seed"] for seed in range(4)]
    env.close()
    assert {split_of(seed) for seed in drawn} == {"val"}
    assert len(set(drawn)) == 4


def test_the_same_seed_draws_the_same_episodes(env: FerryEnv) -> None:
    first = [env.reset(seed=5)[1]["episode"], env.reset()[1]["episode"]]
    second = [env.reset(seed=5)[1]["episode"], env.reset()[1]["episode"]]
    assert first == second
    assert first[0] != first[1]


def test_a_house_can_be_chosen(env: FerryEnv) -> None:
    _, info = env.reset(seed=1, options={"house_seed": 11})
    assert info["episode"]["house_seed"] == 11
    with pytest.raises(SeedError, match="house seed: got -1, expected a whole number from 0"):
        env.reset(seed=1, options={"house_seed": -1})


def test_the_expert_earns_the_reward_once() -> None:
    env = FerryEnv(SMALL, measure=True)
    env.reset(options={"episode": sample_episode(3, 1)})
    rewards, ended = [], False
    while not ended:
        _, reward, terminated, truncated, info = act(env, env.expert.action())
        rewards.append(reward)
        ended = terminated or truncated
    env.close()
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert info["success"]
    assert 0.5 < info["sel"] <= 1.0
    assert info["path_m"] > 0.2
    assert terminated
    assert not truncated


def test_done_in_the_wrong_place_ends_without_reward(env: FerryEnv) -> None:
    env.reset(options={"episode": sample_episode(3, 1)})
    _, reward, terminated, truncated, info = act(env, "done")
    assert (reward, terminated, truncated, info["success"]) == (0.0, True, False, False)
    assert math.isnan(info["sel"])  # nobody measured the expert


def test_sub_done_ends_nothing(env: FerryEnv) -> None:
    env.reset(seed=1)
    _, reward, terminated, truncated, info = act(env, "sub_done")
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert "sel" not in info


def test_it_is_truncated_at_the_horizon() -> None:
    env = FerryEnv(SMALL, max_steps=3)
    env.reset(seed=1)
    ends = [act(env, "rotate_left")[2:4] for _ in range(3)]
    env.close()
    assert ends == [(False, False), (False, False), (False, True)]


def test_the_previous_action_is_what_was_executed(env: FerryEnv) -> None:
    env.reset(options={"episode": sample_episode(3, 1)})
    seen, *_ = act(env, "rotate_left")
    assert seen["previous_action"] == SPOC_ACTIONS.index("rotate_left")
    assert seen["step"].tolist() == [1]
    seen, _, _, _, info = act(env, "pickup")
    assert seen["previous_action"] == TOKENS.blocked
    assert not info["collided"]  # refused, not blocked


def test_a_bump_is_reported(env: FerryEnv) -> None:
    env.reset(options={"episode": sample_episode(3, 1)})
    for _ in range(40):
        seen, _, _, _, info = act(env, "move_ahead")
        if info["collided"]:
            break
    assert info["collided"]
    assert info["collisions"] == 1
    assert seen["previous_action"] == TOKENS.blocked


def test_there_is_an_action_for_every_logit(env: FerryEnv) -> None:
    assert env.action_space.n == 20
    env.reset(seed=2)
    for action in range(20):
        if SPOC_ACTIONS.names[action] != "done":
            seen, *_ = env.step(np.int64(action))
            assert env.observation_space.contains(seen)


def test_it_draws_the_house_from_above_when_asked() -> None:
    env = FerryEnv(SMALL, render_mode="rgb_array")
    env.reset(seed=1)
    assert env.render().shape == (480, 640, 3)
    env.close()
    assert FerryEnv(SMALL).render() is None


def test_training_houses_are_the_default() -> None:
    env = FerryEnv(SMALL)
    assert env.reset(seed=3)[1]["episode"]["house_seed"] in SPLITS["train"]
    env.close()


def test_every_task_has_an_environment() -> None:
    assert set(IDS) == set(TASKS)
    for name, identity in IDS.items():
        env = gymnasium.make(identity, options=SMALL)
        seen, info = env.reset(seed=4)
        assert env.observation_space.contains(seen)
        assert info["episode"]["task"] == name
        named = info["episode"]["target"] in TARGETS
        assert seen["goal"] == (TARGETS.index(info["episode"]["target"]) if named else len(TARGETS))
        env.close()
    with pytest.raises(EpisodeError, match=r"task 'juggle', expected one of object_nav, .*room_visit"):
        FerryEnv(SMALL, task="juggle")


def test_rooms_are_counted_at_the_end() -> None:
    env = FerryEnv(SMALL, task="room_visit", max_steps=1000)
    seed = house_seed("val", 3)  # three rooms
    env.reset(seed=1, options={"episode": task("room_visit").sample(seed)})
    assert "rooms" not in act(env, "sub_done")[4]
    _, reward, terminated, _, info = act(env, "done")
    assert (reward, terminated, info["rooms_visited"], info["rooms"], info["failed_share"]) == (0.0, True, 1, 3, 0.0)
    env.reset(seed=1, options={"episode": task("room_visit").sample(seed)})
    while not terminated or not info["success"]:
        _, reward, terminated, _, info = act(env, env.unwrapped.expert.action())
    env.close()
    assert (reward, info["rooms_visited"], info["rooms"]) == (1.0, 3, 3)
