"""Instructions."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.houses.categories import CATEGORIES
from simulation.tasks.instructions import GOTO_VERBS, goto_instruction, visit_instruction, with_article


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("Apple", "an apple"), ("alarm clock", "an alarm clock"), ("mug", "a mug"), ("house plant", "a house plant")],
)
def test_the_article_follows_the_sound(noun: str, expected: str) -> None:
    assert with_article(noun) == expected


def test_every_instruction_is_a_verb_and_the_object_in_lower_case() -> None:
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        instruction = goto_instruction(category, rng)
        assert instruction == instruction.lower()
        verb = instruction.removesuffix(f" {with_article(category)}")
        assert verb in GOTO_VERBS


def test_every_verb_of_chores_is_used() -> None:
    rng = np.random.default_rng(0)
    instruction = {goto_instruction("mug", rng) for _ in range(200)}
    assert instruction == {f"{verb} a mug" for verb in ("go to", "locate", "find", "search for", "navigate to")}


def test_the_same_chance_gives_the_same_words() -> None:
    first, second = (goto_instruction("bed", np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_all_rooms_are_counted_out() -> None:
    assert visit_instruction(3) == (
        "go to all 3 rooms in the house. indicate when you have seen a new room and when you are done"
    )
