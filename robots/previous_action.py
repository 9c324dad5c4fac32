"""The previous action that a policy is told: one rule for simulation, training and serving.

It is the action that the robot executed, not the one that was proposed. A robot may be blocked or refuse; a policy has
a token for that, or else is told what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StartAndBlocked(Protocol):
    """Tokens beside the indices of the actions."""

    @property
    def start(self) -> int:
        """Token at an episode's first decision."""

    @property
    def blocked(self) -> int | None:
        """Token where the last action was not executed; None where the policy has none."""


@dataclass(frozen=True)
class PreviousActionTokens:
    """Tokens of a policy beside the indices of its actions; see `StartAndBlocked`."""

    start: int
    blocked: int | None = None

    @classmethod
    def after(cls, actions: int, blocked: bool = True) -> PreviousActionTokens:
        """Returns the tokens behind the indices of `actions` actions: start, padding (unused here) and blocked.

        Start and padding are FLaRe's (inference_agent.py: 20 and 21 after SPOC's 20 actions); blocked is ours.
        """
        return cls(actions, actions + 2 if blocked else None)

    @property
    def count(self) -> int:
        """Size of the table of a policy's previous actions."""
        return self.start + 2 if self.blocked is None else self.blocked + 1


def previous_action(tokens: StartAndBlocked, tried: int | None, executed: int | None) -> int:
    """Returns the token of the previous action.

    Args:
        tokens: the policy's.
        tried: index of the last action, None before the first.
        executed: index of the action that the robot executed since the last decision, None where it executed none.
    """
    if tried is None:
        return tokens.start
    if executed is not None:
        return executed
    return tried if tokens.blocked is None else tokens.blocked
