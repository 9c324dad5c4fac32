"""How long an episode of LIBERO may take."""

from __future__ import annotations

MAX_ACTIONS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520, "libero_90": 400}
"""As OpenVLA-OFT's evaluation has them (moojink/openvla-oft, run_libero_eval.py)."""


def max_actions(suite: str) -> int:
    """Actions after which an episode of a suite has failed; a perturbed suite's are those of the suite it is made from.

    The longest of all for an unknown suite.
    """
    return next((most for name, most in MAX_ACTIONS.items() if f"{suite}_".startswith(f"{name}_")), longest())


def longest() -> int:
    """The most actions of any suite."""
    return max(MAX_ACTIONS.values())
