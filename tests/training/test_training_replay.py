"""The replay: whole episodes, the same after a restart, and no more of them than asked for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from small_policies import TINY
from variants import episode, episodes

from training.errors import CheckpointError
from training.models.tokenizer import tokenizer_for
from training.rl.replay_buffer import ReplayBuffer, transitions
from training.rl.trajectory import Trajectory


def equal(one: Trajectory, other: Trajectory) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Trajectory)]
    return all(
        type(a) is type(b) and np.array_equal(a, b) and getattr(a, "dtype", 0) == getattr(b, "dtype", 0)
        for a, b in pairs
    )


def test_episodes_come_back_as_they_were(tmp_path: Path) -> None:
    one, other = ReplayBuffer(tmp_path, 1000), ReplayBuffer(tmp_path, 1000)
    one.add(3, [*episodes(5), episode(4, 9, guided=2)])
    one.add(4, episodes(2))
    other.restore(list(one.updates))
    assert list(other.updates) == [3, 4]
    for number, played in one.updates.items():
        assert len(other.updates[number]) == len(played)
        assert all(map(equal, played, other.updates[number]))
    drawn = [[len(one) for one in some.draw(np.random.default_rng(1), 4)] for some in (one, other)]
    assert drawn[0] == drawn[1]


def test_the_oldest_are_forgotten_and_their_files_go_when_a_checkpoint_allows_it(tmp_path: Path) -> None:
    replay = ReplayBuffer(tmp_path, 10)
    for update in range(4):
        replay.add(update, [episode(6, update)])
    assert list(replay.updates) == [2, 3]  # 6 steps would be too few
    assert len(list(tmp_path.iterdir())) == 4
    replay.prune()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["update_000002.npz", "update_000003.npz"]


def test_no_episode_is_drawn_twice_at_once(tmp_path: Path) -> None:
    replay = ReplayBuffer(tmp_path, 1000)
    replay.add(0, episodes(6))
    drawn = replay.draw(np.random.default_rng(0), 4)
    assert len({len(one) for one in drawn}) == 4
    assert len(replay.draw(np.random.default_rng(0), 100)) == 6


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "update_000007.npz").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match=r"update_000007.npz: got \w+"):
        ReplayBuffer(tmp_path, 10).restore([7])
    with pytest.raises(CheckpointError, match=r"update_000008.npz: got FileNotFoundError"):
        ReplayBuffer(tmp_path, 10).restore([8])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "replay").write_text("a file")
    with pytest.raises(CheckpointError, match=r"update_000000.npz: got 'File exists'"):
        ReplayBuffer(tmp_path / "replay", 10).add(0, [episode(2, 0)])


def test_steps_lie_one_behind_the_other(tmp_path: Path) -> None:
    some = [episode(3, 0, reward=5.0), episode(2, 1, done=False, reward=1.0), episode(3, 2, guided=1)]
    made = transitions(some, tokenizer_for(TINY.text))
    assert made.episodes.lengths.tolist() == [3, 3, 3]
    assert made.rewards.tolist() == [0, 0, 5, 0, 1, 0, 0, 0, 1]
    assert made.ended.tolist() == [False, False, True, False, False, False, False, False, True]
    assert made.acted.tolist() == [True, True, True, True, True, False, False, True, True]
