"""Disjoint seeds of training, validation and test."""

from __future__ import annotations

from itertools import combinations

import pytest

from simulation.errors import SeedError, SimulationError
from simulation.houses.seeds import SPLITS, house_seed, split_of


def test_no_seed_belongs_to_two_splits() -> None:
    for (name_a, a), (name_b, b) in combinations(SPLITS.items(), 2):
        assert a.stop <= b.start or b.stop <= a.start, f"{name_a} and {name_b} overlap"


def test_splits_are_those_that_were_published() -> None:
    assert dict(SPLITS) == {
        "train": range(0, 10_000_000),
        "val": range(10_000_000, 11_000_000),
        "test": range(20_000_000, 21_000_000),
    }


def test_splits_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SPLITS["test"] = range(5)  # type: ignore[index]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("index", [0, 1, 999_999])
def test_a_house_belongs_to_the_split_it_was_asked_from(split: str, index: int) -> None:
    assert split_of(house_seed(split, index)) == split


@pytest.mark.parametrize("split", SPLITS)
def test_the_houses_of_a_split_have_seeds_of_their_own(split: str) -> None:
    assert len({house_seed(split, index) for index in range(200)}) == 200


@pytest.mark.parametrize(
    ("seed", "split"),
    [(0, "train"), (9_999_999, "train"), (10_000_000, "val"), (10_999_999, "val"), (20_000_000, "test")],
)
def test_the_edges_of_the_splits(seed: int, split: str) -> None:
    assert split_of(seed) == split


@pytest.mark.parametrize("seed", [-1, 11_000_000, 19_999_999, 21_000_000])
def test_a_seed_of_no_split_names_all_splits(seed: int) -> None:
    with pytest.raises(
        SeedError, match=rf"house seed: got {seed}, expected one of train \[0, 10000000\), val .*, test "
    ):
        split_of(seed)


def test_an_unknown_split_names_those_that_exist() -> None:
    with pytest.raises(SeedError, match="split: got 'exam'"):
        house_seed("exam", 0)


@pytest.mark.parametrize("index", [-1, 1_000_000])
def test_an_index_beyond_the_split_says_how_far_it_goes(index: int) -> None:
    with pytest.raises(SeedError, match=f"index of a val house: got {index}, expected 0 to 999999"):
        house_seed("val", index)


def test_the_error_keeps_what_it_got_and_belongs_to_the_simulation() -> None:
    with pytest.raises(SimulationError) as caught:
        split_of(-7)
    assert isinstance(caught.value, SeedError)
    assert caught.value.got == -7
