"""The one rule for the previous action, and that every loop of episodes obeys it."""

from __future__ import annotations

import pytest

from robots.previous_action import PreviousActionTokens

TOKENS = PreviousActionTokens.after(20)


@pytest.mark.parametrize(("action", "executed", "token"), [
    (None, True, 20),  # the first decision
    (3, True, 3),
    (3, False, 22),  # blocked or refused
])  # fmt: skip
def test_a_policy_gets_what_was_executed(action: int | None, executed: bool, token: int) -> None:
    assert TOKENS.token(action, executed) == token


def test_a_policy_without_a_token_for_blocked_gets_what_was_tried() -> None:
    assert PreviousActionTokens.after(20, blocked=False).token(3, executed=False) == 3


def test_tokens_lie_behind_the_actions() -> None:
    assert (TOKENS.start, TOKENS.blocked, TOKENS.count) == (20, 22, 23)
    assert PreviousActionTokens.after(20, blocked=False).count == 22
