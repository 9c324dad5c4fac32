"""Whether the groups of GRPO still teach anything, and what to do when they do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from itertools import takewhile

WARN_AFTER, END_AFTER = 3, 10
"""Steps that a warning looks back on, and steps without a mixed group after which a run ends."""

FEW = 0.125
"""Fraction of mixed groups below which most of the rollouts are wasted."""


@dataclass(frozen=True)
class Tried:
    """Groups of one step: all that were played, and of these the mixed, the failed and the solved ones."""

    groups: int
    mixed: int
    failed: int
    solved: int

    @classmethod
    def of(cls, successes: Sequence[Sequence[bool]]) -> Tried:
        """Counts groups by the successes of their trajectories."""
        failed, solved = sum(not any(one) for one in successes), sum(all(one) for one in successes)
        return cls(len(successes), len(successes) - failed - solved, failed, solved)


class GroupHealth:
    """The groups of the last steps, as plain values in `state`."""

    def __init__(self, state: Iterable[Sequence[int]] = ()) -> None:
        self._steps = deque((Tried(*each) for each in state), maxlen=END_AFTER)

    @property
    def state(self) -> list[list[int]]:
        """What a checkpoint holds."""
        return [list(astuple(tried)) for tried in self._steps]

    @property
    def is_dead(self) -> bool:
        """Whether `END_AFTER` steps in sequence had no mixed group."""
        return len(list(takewhile(lambda tried: not tried.mixed, self._steps))) == END_AFTER

    def add(self, tried: Tried) -> None:
        """Adds a step."""
        self._steps.append(tried)

    def advice(self) -> str | None:
        """Returns what is wrong and what to do; None while enough groups are mixed, or it is too early to say."""
        last = list(self._steps)[-WARN_AFTER:]
        groups, mixed, failed, solved = (sum(column) for column in zip(*map(astuple, last))) if last else (0, 0, 0, 0)
        if len(last) < WARN_AFTER or mixed >= FEW * groups:
            return None
        found = f"{mixed} of {groups} groups in {WARN_AFTER} steps were mixed, {failed} failed, {solved} succeeded"
        if failed >= solved:
            return f"{found}: begin from more demonstrations, or try a temperature nearer to 0.5, or easier states"
        return f"{found}: little is left to learn; stop here, or draw the states wider, or raise the temperature"
