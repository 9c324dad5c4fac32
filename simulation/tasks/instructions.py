"""Instructions from CHORES' templates.

Verbs: FLaRe utils/constants/template_verbs.py (GOTO); templates, lower case: FLaRe utils/task_spec_to_instruction.py,
which takes the article from a phonemiser and falls back to the first letter; for the 15 categories of CHORES-S, for
ProcTHOR's four kinds of room and for what our affordances are called the first letter is right.
"""

from __future__ import annotations

import numpy as np

GOTO_VERBS = ("go to", "locate", "find", "search for", "navigate to")

BEST_FOR = " that can best be used for "
"""Text between the noun and the affordance."""


def with_article(noun: str) -> str:
    """Returns `noun` in lower case after "a" or "an"."""
    noun = noun.lower()
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def goto_instruction(thing: str, rng: np.random.Generator) -> str:
    """Writes the instruction to go to one of several, e.g. "search for an alarm clock" or "go to a living room"."""
    return f"{_verb(rng)} {with_article(thing)}"


def affordance_instruction(called: str, affordance: str, rng: np.random.Generator) -> str:
    """Writes one with an affordance: "find a container that can best be used for holding flowers"."""
    return goto_instruction(f"{called}{BEST_FOR}{affordance}", rng)


def attribute_instruction(
    category: str, attribute: str, reference: str | None, room: str, rng: np.random.Generator
) -> str:
    """Writes one with an attribute: "find the smallest mug in the kitchen", "... the chair closest to the bed in ...".

    `reference` is None where the attribute is the object's own.
    """
    if reference is None:
        return f"{_verb(rng)} the {attribute} {category} in the {room}".lower()
    between = "to" if attribute == "closest" else "from"
    return f"{_verb(rng)} the {category} {attribute} {between} the {reference} in the {room}".lower()


def visit_instruction(rooms: int) -> str:
    """Writes the instruction to visit every room; it states the number even for 1."""
    return f"go to all {rooms} rooms in the house. indicate when you have seen a new room and when you are done"


def _verb(rng: np.random.Generator) -> str:
    return GOTO_VERBS[int(rng.integers(len(GOTO_VERBS)))]
