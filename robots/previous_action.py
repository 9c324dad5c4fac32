"""The one rule for the "previous action" that a policy takes as an input: in serving, in training, in simulation."""

from __future__ import annotations

from dataclasses import dataclass


def previous_action(action: int, executed: bool, blocked: int | None) -> int:
    """Returns the token of the previous action: what was executed, not what was proposed.

    It is the index of `action` if that was executed; otherwise `blocked`, the token of nothing executed. A policy
    without such a token (None) gets the action that was attempted. The first step has a token of its own.
    """
    return action if executed or blocked is None else blocked


@dataclass(frozen=True)
class PreviousActionTokens:
    """A policy's tokens beside the indices of its actions.

    Attributes:
        start: at an episode's first decision.
        blocked: where the last action was not executed; None where the policy has none.
    """

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

    def token(self, action: int | None, executed: bool) -> int:
        """Returns the token of the previous action, None before the first; see `previous_action`."""
        return self.start if action is None else previous_action(action, executed, self.blocked)
