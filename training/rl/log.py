"""Logging of PPO updates: TensorBoard curves, a line of text and the progress bar; rank 0 logs for all ranks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.rl.rollout_buffer import Outcome
from training.runtime.progress import Bar

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Log:
    """Writes curves and a progress bar; without them it is silent."""

    def __init__(self, board: SummaryWriter | None = None, bar: Bar | None = None) -> None:
        self._board, self._bar = board, bar
        self._spent_s: dict[str, float] = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Measures a phase of the current update: "playing" or "learning"."""
        began_s = time.monotonic()
        yield
        self._spent_s[phase] = time.monotonic() - began_s

    def advance(self, steps: int) -> None:
        """Advances the bar by steps that were just played."""
        if self._bar is not None:
            self._bar.advance(steps)

    def curves(self, group: str, values: Mapping[str, float], steps: int) -> None:
        """Adds a point to each curve of a group."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, steps)

    def note(self, **values: float | str) -> None:
        """Shows values beside the bar."""
        if self._bar is not None:
            self._bar.note(**values)

    def write(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._bar is not None:
            self._bar.write(line)

    def update(
        self, number: int, steps: int, outcomes: Sequence[Outcome], window: float, metrics: Mapping[str, float]
    ) -> None:
        """Logs one update, whose phases were `timed` and after which the run has `steps` steps.

        `window` is the running success rate.
        """
        if self._bar is None:
            return
        scores = scores_of(outcomes, window)
        speed = speeds(sum(each.steps for each in outcomes), self._spent_s["playing"], self._spent_s["learning"])
        for group, values in (("episodes", scores), ("learning", metrics), ("speed", speed)):
            self.curves(group, values, steps)
        cells = {**scores, **metrics, **speed}
        self._bar.write(f"update {number}, {steps} steps: " + ", ".join(f"{k} {v:.4g}" for k, v in cells.items()))
        self._bar.at(steps)
        self._bar.note(success=f"{window:.1%}", now=f"{speed['steps_per_s']:.0f} steps/s")


def scores_of(outcomes: Sequence[Outcome], window: float) -> dict[str, float]:
    """Averages the outcomes of an update's episodes."""
    return {
        "success": float(np.mean([outcome.success for outcome in outcomes])),
        "success_window": window,
        "length": float(np.mean([outcome.steps for outcome in outcomes])),
        "said_done": float(np.mean([outcome.said_done for outcome in outcomes])),
        "collisions": float(np.mean([outcome.collisions for outcome in outcomes])),
    }


def speeds(steps: int, playing_s: float, learning_s: float) -> dict[str, float]:
    """Computes the steps per second of one update."""
    return {
        "steps_per_s": steps / (playing_s + learning_s),
        "playing_steps_per_s": steps / playing_s,
        "learning_steps_per_s": steps / learning_s,
    }


@contextmanager
def opened(folder: Path, total: int, done: int, aloud: bool, what: str = "ppo", unit: str = "steps") -> Iterator[Log]:
    """Opens the log of `what` in `folder` that has done `done` of `total` steps; silent unless `aloud`."""
    if not aloud:
        yield Log()
        return
    from torch.utils.tensorboard import SummaryWriter  # here: a rollout worker, which has no log, starts sooner

    with SummaryWriter(str(folder / "tensorboard"), purge_step=done) as board, Bar(what, total, unit, done) as bar:
        yield Log(board, bar)
