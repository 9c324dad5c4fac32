"""The processor time of each test file, its child processes included: what a suite costs on a machine of few cores."""

from __future__ import annotations

import resource
from collections import Counter
from typing import Any

import pytest


def spent_s() -> float:
    """Seconds of processor that this process and its children, those that ended, have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class ProcessorTime:
    """A pytest plugin that lists the files that cost most.

    Args:
        files: how many are listed.
    """

    def __init__(self, files: int) -> None:
        self._files, self._last_s, self._of_file = files, spent_s(), Counter[str]()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        """Adds to a report what its phase has used; xdist carries it to the process that sums it up."""
        outcome = yield
        now_s = spent_s()
        outcome.get_result().processor_s, self._last_s = now_s - self._last_s, now_s

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Adds it up."""
        self._of_file[report.nodeid.partition("::")[0]] += getattr(report, "processor_s", 0.0)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the list."""
        terminalreporter.section(f"processor time: {sum(self._of_file.values()) / 60:.1f} min")
        for name, seconds in self._of_file.most_common(self._files):
            terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
