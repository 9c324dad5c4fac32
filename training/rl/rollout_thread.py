"""Rollouts that are played beside the learning: the next update's, while this one is learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from training.rl.rollout import RolloutJob
from training.rl.rollout_buffer import RolloutBuffer

Collect = Callable[[int, Sequence[RolloutJob], Callable[[], bool]], RolloutBuffer | None]
"""Plays the jobs of an update; None where it was asked to stop, by its last argument."""


class RolloutThread:
    """Collects one update's rollouts at a time; a context manager, which drops those that nobody has taken.

    Its thread lives as long as it does: the simulators are killed with the thread that started them.

    Args:
        collect: see `Collect`.
        stopping: whether the training is to stop.
    """

    def __init__(self, collect: Collect, stopping: Callable[[], bool]) -> None:
        self._collect, self._stopping, self._ended = collect, stopping, False
        self._executor = ThreadPoolExecutor(1, "rollouts")
        self._pending: Future[RolloutBuffer | None] | None = None

    def __enter__(self) -> RolloutThread:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._executor.shutdown(wait=True)

    @property
    def idle(self) -> bool:
        """Whether nothing has been begun, or all of it taken."""
        return self._pending is None

    def begin(self, update: int, jobs: Sequence[RolloutJob]) -> None:
        """Begins to play an update's jobs."""
        self._pending = self._executor.submit(self._collect, update, jobs, self._should_stop)

    def take(self) -> RolloutBuffer | None:
        """Waits for what was begun, and returns it; raises what `collect` raised."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        return pending.result()

    def _should_stop(self) -> bool:
        return self._ended or self._stopping()
