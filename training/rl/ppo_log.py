"""What PPO says of each update: TensorBoard curves, a line, and the progress bar. Rank 0 speaks for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from training.rl.rank_minibatches import Outcome
from training.runtime.progress import Bar


class Log:
    """Curves and a bar; a silent one, without either, takes everything and says nothing."""

    def __init__(self, board: SummaryWriter | None = None, bar: Bar | None = None) -> None:
        self._board, self._bar = board, bar

    def advance(self, steps: int) -> None:
        """Moves the bar by steps that were just played."""
        if self._bar is not None:
            self._bar.advance(steps)

    def curves(self, group: str, values: Mapping[str, float], steps: int) -> None:
        """Adds a point to each of some curves."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, steps)

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._bar is not None:
            self._bar.say(line)

    def update(
        self, number: int, steps: int, outcomes: Sequence[Outcome], window: float, figures: Mapping[str, float],
        playing_s: float, learning_s: float,
    ) -> None:  # fmt: skip
        """Tells of one update, after which the run has `steps` steps; `window` is the success rate of late."""
        if self._bar is None:
            return
        scores, speed = scores_of(outcomes, window), speeds(sum(one.steps for one in outcomes), playing_s, learning_s)
        for group, values in (("episodes", scores), ("learning", figures), ("speed", speed)):
            self.curves(group, values, steps)
        cells = {**scores, **figures, **speed}
        self._bar.say(f"update {number}, {steps} steps: " + ", ".join(f"{k} {v:.4g}" for k, v in cells.items()))
        self._bar.at(steps)
        self._bar.note(success=f"{window:.1%}", now=f"{speed['steps_per_s']:.0f} steps/s")


def scores_of(outcomes: Sequence[Outcome], window: float) -> dict[str, float]:
    """How the episodes of one update went."""
    return {
        "success": float(np.mean([one.success for one in outcomes])),
        "success_window": window,
        "length": float(np.mean([one.steps for one in outcomes])),
        "said_done": float(np.mean([one.said_done for one in outcomes])),
        "collisions": float(np.mean([one.collisions for one in outcomes])),
    }


def speeds(steps: int, playing_s: float, learning_s: float) -> dict[str, float]:
    """Steps per second of one update."""
    return {
        "steps_per_s": steps / (playing_s + learning_s),
        "playing_steps_per_s": steps / playing_s,
        "learning_steps_per_s": steps / learning_s,
    }


@contextmanager
def opened(folder: Path, total: int, done: int, aloud: bool) -> Iterator[Log]:
    """The log of a run in `folder` that has done `done` of `total` steps; silent unless `aloud`."""
    if not aloud:
        yield Log()
        return
    with SummaryWriter(str(folder / "tensorboard"), purge_step=done) as board, Bar("ppo", total, "steps", done) as bar:
        yield Log(board, bar)
