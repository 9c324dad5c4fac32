"""Shards: whole or not there, read back as they were written, and named when damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from small_policies import TINY, learnable_episode, write_run

from training.data.shards import load_shards, shard_files, shard_path, write_arrays, write_metadata, write_shard
from training.errors import DataError


def test_a_shard_comes_back_as_it_was_written(tmp_path: Path) -> None:
    shown = [learnable_episode(number, steps) for number, steps in enumerate((4, 1, 6))]
    write_shard(shard_path(tmp_path, 0), shown)
    got = load_shards([shard_path(tmp_path, 0)])
    assert len(got) == 3
    assert got.lengths.tolist() == [4, 1, 6]
    assert got.starts.tolist() == [0, 4, 5]
    assert got.instructions == tuple(one.episode.instruction for one in shown)
    assert got.labels.tolist() == [label for one in shown for label in one.labels]
    assert got.previous.tolist() == [token for one in shown for token in one.previous]
    assert np.array_equal(got.state, np.concatenate([np.stack(one.state) for one in shown]))
    assert np.array_equal(got.features, np.concatenate([np.stack(one.features) for one in shown]))


def test_an_older_shard_has_the_object_in_hand_as_its_state(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write_shard(path, [learnable_episode(0, 3)])
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "state"}
    write_arrays(path, {**arrays, "in_hand": np.array([0, 1, 1], np.uint8)})
    assert np.array_equal(load_shards([path]).state, np.array([[0.0], [1.0], [1.0]], np.float32))


def test_what_is_known_of_each_episode_is_kept(tmp_path: Path) -> None:
    shown = [learnable_episode(number, 3) for number in range(4)]
    shown[1].success = False
    write_shard(shard_path(tmp_path, 7), shown)
    with np.load(tmp_path / "shard_00007.npz", allow_pickle=False) as file:
        assert file["success"].tolist() == [True, False, True, True]
        assert file["houses"].tolist() == [100, 101, 102, 103]
        assert file["collisions"].tolist() == [0, 1, 2, 0]
        assert file["targets"].tolist() == ["mug"] * 4


def test_several_shards_follow_one_another(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=3, episodes=4)
    files = shard_files([run / "data"])
    everything = load_shards(files)
    parts = [load_shards([path]) for path in files]
    assert np.array_equal(everything.labels, np.concatenate([one.labels for one in parts]))
    assert np.array_equal(everything.features, np.concatenate([one.features for one in parts]))
    assert len(everything) == 12
    last = everything.starts[-1] + everything.lengths[-1]
    assert last == len(everything.labels) == len(everything.features)


def test_a_shard_that_could_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write_shard(path, [learnable_episode(0, 3)])
    before = path.read_bytes()

    class Unwritable:
        """Fails in the middle of the file."""

        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        write_arrays(path, {"good": np.zeros(1000), "bad": Unwritable()})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert shard_files([tmp_path]) == [path]  # what was half written is no shard


def test_nothing_temporary_is_left(tmp_path: Path) -> None:
    write_shard(shard_path(tmp_path / "new" / "folder", 0), [learnable_episode(0, 3)])
    assert os.listdir(tmp_path / "new" / "folder") == ["shard_00000.npz"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99], ids=["empty", "ten bytes", "half", "nearly whole"])
def test_a_damaged_shard_is_named(tmp_path: Path, keep: float) -> None:
    path = shard_path(tmp_path, 3)
    write_shard(path, [learnable_episode(0, 5)])
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(DataError, match=r"shard_00003.npz: got .*"):
        load_shards([path])


def test_flipped_bytes_are_found(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write_shard(path, [learnable_episode(0, 5)])
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"got BadZipFile .*expected a whole shard"):
        load_shards([path])


def test_a_shard_without_labels_is_named(tmp_path: Path) -> None:
    write_arrays(shard_path(tmp_path, 0), {"features": np.zeros((2, 2, 4, 86), np.float16)})
    with pytest.raises(DataError, match=r"got KeyError .*labels.*"):
        load_shards([shard_path(tmp_path, 0)])


def test_pickles_are_not_read(tmp_path: Path) -> None:
    write_arrays(shard_path(tmp_path, 0), {"labels": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(DataError, match=r"got ValueError .*allow_pickle"):
        load_shards([shard_path(tmp_path, 0)])


def test_shards_of_different_encoders_do_not_mix(tmp_path: Path) -> None:
    write_shard(shard_path(tmp_path, 0), [learnable_episode(0, 2)])
    other = learnable_episode(1, 2)
    other.features = [one[..., :40] for one in other.features]
    write_shard(shard_path(tmp_path, 1), [other])
    expected = (2, 2, TINY.image.tokens, TINY.image.token_width)
    with pytest.raises(DataError, match=rf"shard_00001.npz: got features \(2, 2, 4, 40\), expected \({expected[0]}, 2"):
        load_shards(shard_files([tmp_path]))


def test_a_folder_without_shards_says_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got no shards"):
        shard_files([tmp_path])


def test_data_is_made_in_one_way_per_folder(tmp_path: Path) -> None:
    meta = {"encoder": "ab12", "seed": 0}
    write_metadata(tmp_path / "data", meta)
    write_metadata(tmp_path / "data", meta)
    with pytest.raises(DataError, match=r"data.json: got encoder 'ab12'"):
        write_metadata(tmp_path / "data", {**meta, "encoder": "cd34"})
