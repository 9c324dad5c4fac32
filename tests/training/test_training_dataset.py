"""Packing: every episode once, never cut; a batch holds each step at its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import tiny_policy, write_run

from training.data.packing import IGNORE, Instructions, collate, epoch_batches, pack
from training.data.shards import Episodes, load_shards, shard_files
from training.models.config import MINI
from training.models.tokenizer import word_tokenizer

LENGTHS = st.lists(st.integers(1, 80), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Episodes:
    return load_shards(shard_files([write_run(tmp_path_factory.mktemp("run")) / "data"]))


def packed(lengths: list[int], context: int, seed: int = 0) -> list[list[int]]:
    order = np.random.default_rng(seed).permutation(len(lengths))
    return pack(np.array(lengths), order, context)


@given(LENGTHS, st.integers(8, 100))
def test_every_episode_is_packed_once_and_whole(lengths: list[int], context: int) -> None:
    rows = packed(lengths, context)
    assert sorted(one for row in rows for one in row) == list(range(len(lengths)))


@given(LENGTHS, st.integers(8, 100))
def test_no_row_is_too_long_unless_one_episode_is(lengths: list[int], context: int) -> None:
    for row in packed(lengths, context):
        assert sum(lengths[one] for one in row) <= context or len(row) == 1


@given(LENGTHS)
def test_a_row_is_opened_only_when_the_one_before_is_too_full(lengths: list[int]) -> None:
    rows = packed(lengths, context=100)
    for before, row in itertools.pairwise(rows):
        assert sum(lengths[one] for one in before) + lengths[row[0]] > 100


def test_packing_wastes_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 90, size=2000)
    rows = pack(lengths, np.arange(2000), 256)
    assert lengths.sum() / (256 * len(rows)) > 0.9


def test_an_epoch_is_the_same_for_the_same_seed(episodes: Episodes) -> None:
    one = epoch_batches(episodes, (3, 1), 20, 2)
    assert one == epoch_batches(episodes, (3, 1), 20, 2)
    assert one != epoch_batches(episodes, (3, 2), 20, 2)
    assert one != epoch_batches(episodes, (4, 1), 20, 2)


def test_an_epoch_shows_every_episode_once(episodes: Episodes) -> None:
    batches = epoch_batches(episodes, (0, 0), 20, 2)
    assert all(len(rows) <= 2 for rows in batches)
    assert sorted(one for rows in batches for row in rows for one in row) == list(range(len(episodes)))


def test_a_batch_holds_each_step_of_its_episodes(episodes: Episodes) -> None:
    instructions = Instructions(episodes, word_tokenizer())
    rows = [[4, 0], [7]]
    batch = collate(episodes, instructions, rows, 64)
    for number, row in enumerate(rows):
        at = 0
        for episode in row:
            start, count = int(episodes.starts[episode]), int(episodes.lengths[episode])
            place, source = (number, slice(at, at + count)), slice(start, start + count)
            assert batch.labels[place].tolist() == episodes.labels[source].tolist()
            assert batch.previous[place].tolist() == episodes.previous[source].tolist()
            assert batch.step[place].tolist() == list(range(count))
            assert set(batch.trajectory[place].tolist()) == {episode}
            assert torch.equal(batch.tokens[place], torch.from_numpy(episodes.features[source]).float())
            texts = {instructions.texts[i] for i in batch.instruction[place].tolist()}
            assert texts == {episodes.instructions[episode]}
            assert batch.previous[number, at] == MINI.tokens.start
            at += count
        assert set(batch.labels[number, at:].tolist()) <= {IGNORE}
        assert set(batch.trajectory[number, at:].tolist()) <= {-1}


def test_a_batch_is_as_long_as_its_longest_row(episodes: Episodes) -> None:
    batch = collate(episodes, Instructions(episodes, word_tokenizer()), [[0], [1, 2]], 1000)
    longest = max(int(episodes.lengths[0]), int(episodes.lengths[1] + episodes.lengths[2]))
    assert batch.labels.shape == (2, longest)
    assert batch.state.shape == (2, longest, 1)


def test_each_instruction_is_encoded_once(episodes: Episodes) -> None:
    instructions = Instructions(episodes, word_tokenizer())
    assert len(instructions.texts) == len(set(episodes.instructions)) == len(instructions.ids)
    text = instructions.text(tiny_policy(), torch.tensor([2, 2, 0]))
    assert text.features.shape[0] == 3
    assert torch.equal(text.features[0], text.features[1])
    assert text.present is not None
    assert text.present.shape == text.features.shape[:2]
