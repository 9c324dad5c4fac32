"""Errors of the evaluation.

EvaluationError
├── FormatError        a file has the wrong format: file, line, field, got, expected
│   ├── PlanError      ... a plan
│   └── RecordError    ... an episode record or a run folder
├── FolderError        an output folder holds the results of something else
└── TrialError         the robot, the policy or the environment of the trials is not available
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of every error raised by `evaluation`."""


class FormatError(EvaluationError):
    """A file has the wrong format."""

    def __init__(
        self, where: str, got: object, expected: object, *, line: int | None = None, suggestion: str = ""
    ) -> None:
        hint = f"; did you mean '{suggestion}'?" if suggestion else ""
        super().__init__(f"{where}: got {got}, expected {expected}{hint}")
        self.where, self.line, self.got, self.expected, self.suggestion = where, line, got, expected, suggestion


class PlanError(FormatError):
    """A plan is misspelt, incomplete or contradictory."""


class RecordError(FormatError):
    """An episode record or a run folder cannot be read."""


class FolderError(EvaluationError):
    """An output folder holds the results of something else."""


class TrialError(EvaluationError):
    """The robot, the policy or the environment of the trials is not available; the message says what to check."""
