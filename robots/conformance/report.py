"""Results of the suite."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PASSED, FAILED, NOT_APPLICABLE, NOT_RUN = "pass", "FAIL", "n/a", "not run"


@dataclass(frozen=True)
class Result:
    """Result of one check.

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
    """Results of all checks of one robot."""

    body: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """True when every applicable check was run and passed."""
        return all(result.status in (PASSED, NOT_APPLICABLE) for result in self.results)

    def failed(self) -> dict[str, str]:
        """Check name -> reason, of those that failed."""
        return {result.check: result.reason for result in self.results if result.status == FAILED}

    def __str__(self) -> str:
        lines = [
            f"{result.status:8}{result.check}{': ' if result.reason else ''}{result.reason}" for result in self.results
        ]
        counts = {status: sum(result.status == status for result in self.results) for status in (PASSED, FAILED)}
        total = f"{self.body}: {counts[PASSED]} passed, {counts[FAILED]} failed of {len(self.results)}"
        return "\n".join([*lines, total])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ok": self.ok, **asdict(self)}
