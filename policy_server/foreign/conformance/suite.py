"""Runs the checks on one server, and reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from policy_server.foreign.conformance.checks import CHECKS, Check
from policy_server.foreign.conformance.target import Target
from robots.conformance.report import FAILED, NOT_APPLICABLE, NOT_RUN, PASSED, Report, Result
from robots.conformance.verdict import Failed, NotApplicable

FIRST = 3  # without these, no other check says anything


def name_of(check: Check) -> str:
    """Returns a check's name."""
    return check.__name__


def rule_of(check: Check) -> str:
    """Returns a check's rule."""
    return (check.__doc__ or "").strip()


def run(target: Target, name: str, say: Callable[[str], None], checks: Sequence[Check] = CHECKS) -> Report:
    """Runs the checks; once one of the first three fails, the others are not run."""
    results: list[Result] = []
    for check in checks:
        if any(result.status == FAILED for result in results[:FIRST]):
            results.append(Result(name_of(check), rule_of(check), NOT_RUN, "no valid answer yet"))
            continue
        result = _one(target, check)
        say(f"{result.status:8}{result.check}{': ' if result.reason else ''}{result.reason}")
        results.append(result)
    return Report(name, tuple(results))


def _one(target: Target, check: Check) -> Result:
    began = time.monotonic()
    try:
        status, reason = PASSED, check(target)
    except Failed as error:
        status, reason = FAILED, str(error)
    except NotApplicable as error:
        status, reason = NOT_APPLICABLE, str(error)
    return Result(name_of(check), rule_of(check), status, " ".join(reason.split()), time.monotonic() - began)
