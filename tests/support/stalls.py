"""Runs a test again that failed while this machine stood still: what it waited for in real time did not run either.

A test that is wrong fails again. What was run again is listed in the summary of pytest.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep  # by name: tests put others into the module

import pytest

STALL_S = 0.1
"""A thread that sleeps for PERIOD_S and wakes up this much too late was kept waiting, by the machine or by the GIL."""

PERIOD_S = 0.02

AGAIN = 4
"""How often a test is run again at most."""


class StallWatch:
    """Measures how late a sleeping thread wakes up."""

    def __init__(self, stall_s: float) -> None:
        self._longest_s, self._stall_s, self._woke_s = 0.0, stall_s, monotonic()
        threading.Thread(target=self._measure, name="stall watch", daemon=True).start()

    @property
    def longest_s(self) -> float:
        """The longest delay since `reset`, that of now included: the thread may not have had its turn yet."""
        return max(self._longest_s, monotonic() - self._woke_s - PERIOD_S)

    def reset(self) -> None:
        """Begins anew, for another test."""
        self._longest_s, self._woke_s = 0.0, monotonic()

    def stalled(self) -> bool:
        """Whether there was a stall since `reset`."""
        return self.longest_s >= self._stall_s

    def _measure(self) -> None:
        while True:
            sleep(PERIOD_S)
            now = monotonic()
            self._longest_s, self._woke_s = max(self._longest_s, now - self._woke_s - PERIOD_S), now


class AgainAfterStall:
    """A pytest plugin: every test may be run again, by pytest-rerunfailures, if it failed beside a stall."""

    def __init__(self, stall_s: float = STALL_S, again: int = AGAIN) -> None:
        self.watch = StallWatch(stall_s)
        self._again = again

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Marks every test."""
        for item in items:
            flaky = pytest.mark.flaky(reruns=self._again, reruns_delay=0.5, condition=self.watch.stalled)
            item.add_marker(flaky)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Begins to measure; also before each attempt."""
        self.watch.reset()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        """Adds to a failure's report how long this process was kept waiting."""
        outcome = yield
        report = outcome.get_result()
        if report.failed and self.watch.stalled():
            report.sections.append(("stall", f"this process was kept waiting for {self.watch.longest_s:.2f} s"))
