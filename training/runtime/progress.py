"""Progress on the terminal: one bar, its rate and the time that is left."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from tqdm import tqdm  # type: ignore[import-untyped]  # tqdm ships no types

TICK_S = 1.0
"""Period at which a bar on a terminal shows its time, whatever it counts."""


class Bar:
    """Progress bar on standard error, a line every 15 s where that is not a terminal; a context manager.

    Args:
        what, total, unit: title, total count, and name of the unit.
        done: number that an earlier run did; not counted in this run's rate.
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0) -> None:
        seconds = 0.2 if sys.stderr.isatty() else 15.0
        self._bar = tqdm(
            total=total, initial=done, desc=what, unit=f" {unit}", mininterval=seconds, dynamic_ncols=True,
            miniters=0,  # steps move the line, too
            smoothing=0.0,  # the mean since the start: progress in bursts has no meaningful current rate
        )  # fmt: skip
        self._steps = 0
        self._ended = threading.Event()
        if sys.stderr.isatty():
            threading.Thread(target=self._tick, daemon=True).start()

    def advance(self, count: int = 1) -> None:
        """Adds to the count."""
        self._bar.update(count)

    def at(self, count: int) -> None:
        """Sets the count: some may have been counted twice, or on another rank."""
        self._bar.n = self._bar.last_print_n = count
        self._bar.refresh()

    def steps(self, count: int) -> None:
        """Counts simulation steps, shown beside the bar with their rate."""
        self._steps += count
        elapsed = max(self._bar.format_dict["elapsed"], 1e-3)
        self._bar.set_postfix_str(f"{self._steps} steps, {self._steps / elapsed:.0f} steps/s", refresh=False)
        self._bar.update(0)  # shows it, but not more often than the bar's own interval

    def note(self, **values: float | str) -> None:
        """Shows values beside the bar."""
        self._bar.set_postfix(values, refresh=False)

    def write(self, line: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(line, file=sys.stderr)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._bar.close()

    def _tick(self) -> None:
        """Moves the clock while nothing is counted, as while simulators start."""
        while not self._ended.wait(TICK_S):
            self._bar.refresh()
