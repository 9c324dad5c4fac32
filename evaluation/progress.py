"""Progress line of an evaluation."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from evaluation.plans.trial import Outcome, Trial
from evaluation.records.episode import Episode
from evaluation.step import RunEnd, Step
from robots.processes.text import printable

QUIET_S = 10.0  # a log file gets a line this often while trials run [s]
WIDTH = 100


class Progress:
    """Shows trials done, successes by policy and the time left; a `Subscriber` of the running trial.

    With `blind`, policies are not named, so that the person who judges a trial does not know which one ran.
    On a terminal the line is updated in place; a file gets a line every 10 s.
    """

    def __init__(
        self, trials: int, policies: Sequence[str], stream: TextIO | None = None, *, blind: bool = False
    ) -> None:
        self._blind = blind
        self._total, self._stream = trials, stream or sys.stderr
        self._done = self._step = 0
        self._judged: Counter[str] = Counter()
        self._successes: Counter[str] = Counter(dict.fromkeys(policies, 0))
        self._aborted = 0
        self._trial: Trial | None = None
        self._began_s = self._written_s = time.monotonic()

    def begin(self, trial: Trial) -> None:
        """Shows that a trial is about to begin."""
        self._trial, self._step = trial, 0
        self._show()

    def episode(self, episode: Episode) -> None:
        """Counts a trial that has ended."""
        self._done, self._trial = self._done + 1, None
        self._aborted += episode.outcome is Outcome.ABORTED
        self._judged[episode.trial.policy] += episode.outcome is not Outcome.ABORTED
        self._successes[episode.trial.policy] += episode.success
        self._show(force=self._done == self._total)

    def on_start(self) -> None:
        """Does nothing: `begin` was called before."""

    def on_step(self, step: Step) -> None:
        """Counts a step of the running trial."""
        self._step += 1
        if not self._stream.isatty() or self._step % 5 == 0:
            self._show()

    def on_end(self, end: RunEnd) -> None:
        """Does nothing: `episode` follows."""

    def close(self) -> None:
        """Ends the line on a terminal."""
        if self._stream.isatty():
            self._stream.write("\n")
            self._stream.flush()

    def line(self) -> str:
        """Returns e.g. "[ 12/60] mini 5/6  random 0/6  3 min left"."""
        width = len(str(self._total))
        scores = "  ".join(f"{name} {count}/{self._judged[name]}" for name, count in self._successes.items())
        aborted = f"  aborted {self._aborted}" if self._aborted else ""
        name = "" if self._blind or self._trial is None else f"{self._trial.policy} "
        now = f"  {name}in {self._trial.place}, step {self._step}" if self._trial else ""
        known = "" if self._blind else f" {scores}"
        return printable(f"[{self._done:>{width}}/{self._total}]{known}{aborted}{self._left()}{now}")[:WIDTH]

    def _left(self) -> str:
        if not 0 < self._done < self._total:
            return ""
        seconds = (time.monotonic() - self._began_s) / self._done * (self._total - self._done)
        return f"  {seconds / 60:.0f} min left" if seconds > 90 else f"  {seconds:.0f} s left"

    def _show(self, force: bool = False) -> None:
        if self._stream.isatty():
            self._stream.write(f"\r{self.line():<{WIDTH}}")
        elif force or time.monotonic() - self._written_s >= QUIET_S:
            self._stream.write(self.line() + "\n")
            self._written_s = time.monotonic()
        self._stream.flush()
