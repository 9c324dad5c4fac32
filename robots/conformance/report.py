"""What the suite found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PASSED, FAILED, NOT_APPLICABLE, NOT_RUN = "pass", "FAIL", "n/a", "not run"


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        check: its name.
        rule: what must hold, in one sentence.
        status: "pass", "FAIL", "n/a" or "not run".
        reason: why it failed (got, expected), does not apply or was not run.
        seconds: how long it took.
    """

    check: str
    rule: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What all checks found of one robot."""

    body: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether every check that applies was run and passed."""
        return all(one.status in (PASSED, NOT_APPLICABLE) for one in self.results)

    def failed(self) -> dict[str, str]:
        """Check name -> reason, of those that failed."""
        return {one.check: one.reason for one in self.results if one.status == FAILED}

    def __str__(self) -> str:
        lines = [f"{one.status:8}{one.check}{': ' if one.reason else ''}{one.reason}" for one in self.results]
        counts = {status: sum(one.status == status for one in self.results) for status in (PASSED, FAILED)}
        total = f"{self.body}: {counts[PASSED]} passed, {counts[FAILED]} failed of {len(self.results)}"
        return "\n".join([*lines, total])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ok": self.ok, **asdict(self)}
