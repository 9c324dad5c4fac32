"""The one rule for the "previous action" that a policy takes as an input: in serving, in training, in simulation."""

from __future__ import annotations


def previous_action(action: int, executed: bool, blocked: int | None) -> int:
    """Returns the token of the previous action: what was executed, not what was proposed.

    It is the index of `action` if that was executed; otherwise `blocked`, the token of nothing executed. A policy
    without such a token (None) is told the action that was attempted. The first step has a token of its own.
    """
    return action if executed or blocked is None else blocked
