"""Metrics of an episode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from robots.robot import Sent


def sel(success: bool, expert_steps: int, steps: int) -> float:
    """Success weighted by episode length, in [0, 1]: 1[success] * expert / max(actual, expert).

    FLaRe utils/sel_utils.py, after Eftekhar et al. 2023 ("Selective Visual Representations Improve Convergence and
    Generalization for Embodied AI").

    Raises:
        ValueError: a length is not positive.
    """
    if expert_steps < 1 or steps < 1:
        raise ValueError(f"episode lengths: got expert {expert_steps} and actual {steps}, expected at least 1")
    return expert_steps / max(steps, expert_steps) if success else 0.0


def path_length(path: Sequence[tuple[float, float]]) -> float:
    """Length [m] of a path of (x, y) points [m]; 0 for fewer than two points."""
    return math.fsum(math.dist(a, b) for a, b in pairwise(path))


def failed_fraction(history: Sequence[Sent]) -> float:
    """Fraction of the commands that were blocked or refused; 0 before the first.

    CHORES calls it `percentage_collision` (FLaRe online_evaluation/online_evaluator_worker.py), and counts a `sub_done`
    in a room already seen, and a wrong `done`, as well.
    """
    return sum(not sent.executed for sent in history) / len(history) if history else 0.0
