"""The one rule for the previous action, and that every loop of episodes obeys it."""

from __future__ import annotations

import pytest

from robots.previous_action import PreviousActionTokens, previous_action

TOKENS = PreviousActionTokens.after(20)


@pytest.mark.parametrize(("tried", "executed", "told"), [
    (None, None, 20),  # the first decision
    (3, 3, 3),
    (3, None, 22),  # blocked or refused
    (3, 5, 5),  # something else was executed
])  # fmt: skip
def test_a_policy_is_told_what_was_executed(tried: int | None, executed: int | None, told: int) -> None:
    assert previous_action(TOKENS, tried, executed) == told


def test_a_policy_without_a_token_for_blocked_is_told_what_was_tried() -> None:
    assert previous_action(PreviousActionTokens.after(20, blocked=False), 3, None) == 3


def test_tokens_lie_behind_the_actions() -> None:
    assert (TOKENS.start, TOKENS.blocked, TOKENS.count) == (20, 22, 23)
    assert PreviousActionTokens.after(20, blocked=False).count == 22
