"""What the robot is told, in CHORES' words.

Verbs: FLaRe utils/constants/template_verbs.py (GOTO); template "{verb} a(n) {obj}", lower case: FLaRe
utils/task_spec_to_instruction.py, which takes the article from a phonemiser and falls back to the first letter; for the
15 categories of CHORES-S the first letter is right.
"""

from __future__ import annotations

import numpy as np

GOTO_VERBS = ("go to", "locate", "find", "search for", "navigate to")


def with_article(noun: str) -> str:
    """`noun` in lower case behind "a" or "an"."""
    noun = noun.lower()
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def goto_instruction(category: str, rng: np.random.Generator) -> str:
    """Tells the robot to go to an object of `category`, e.g. "search for an alarm clock"."""
    return f"{GOTO_VERBS[int(rng.integers(len(GOTO_VERBS)))]} {with_article(category)}"
