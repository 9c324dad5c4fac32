"""A worker pool without processes, for tests whose subject is not the pool: starting torch takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest


class PoolHere:
    """As `WorkerPool` with one worker, in this process."""

    def __init__(
        self,
        make: Callable[[], Callable[[Any, Any], Any]],
        workers: int,
        progress: Callable[[int], None] = lambda steps: None,
        stall_s: float = 300.0,
    ) -> None:
        self.work, self._progress = make(), progress

    def __class_getitem__(cls, kinds: object) -> type[PoolHere]:
        return cls

    def __enter__(self) -> PoolHere:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(
        self,
        jobs: Iterable[Any],
        keep_on: Callable[[], bool] = lambda: True,
        give_up: Callable[[], bool] = lambda: False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Any, Any]]:
        """As `WorkerPool.run`."""
        for job in jobs:
            if give_up() or enough() or not keep_on():
                return
            yield job, self.work(job, self._progress)


def without_processes(patch: pytest.MonkeyPatch, *modules: str) -> None:
    """Lets modules play here."""
    for module in modules:
        patch.setattr(f"{module}.WorkerPool", PoolHere)
