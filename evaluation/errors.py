"""Errors of the evaluation.

EvaluationError
├── FormatError        a file does not have the form it should: says file, line, field, got, expected
│   ├── PlanError      ... a plan
│   └── RecordError    ... an episode record or a run folder
├── FolderError        an output folder holds the results of something else
└── TrialError         the body, the policy or the place of the trials cannot be had
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvaluationError(Exception):
    """Base of every error raised by `evaluation`."""


class FormatError(EvaluationError):
    """A file does not have the form it should."""

    def __init__(
        self, where: str, got: object, expected: object, *, line: int | None = None, suggestion: str = ""
    ) -> None:
        hint = f"; did you mean '{suggestion}'?" if suggestion else ""
        super().__init__(f"{where}: got {got}, expected {expected}{hint}")
        self.where, self.line, self.got, self.expected, self.suggestion = where, line, got, expected, suggestion


class PlanError(FormatError):
    """A plan is misspelt, lacks something or contradicts itself."""


class RecordError(FormatError):
    """An episode record or a run folder cannot be read."""


class FolderError(EvaluationError):
    """An output folder holds the results of something else."""


class TrialError(EvaluationError):
    """The body, the policy or the place of the trials cannot be had; the message says what to check."""


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that `word` was probably meant to be; empty when none is near."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), "")
