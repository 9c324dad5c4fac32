"""Pool of long-lived worker processes; one that dies or hangs is replaced and its job run again."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Protocol, TypeVar

from robots.processes.child import start_child
from simulation.errors import WorkersLost

ATTEMPTS = 3
"""Attempts at one job before the run fails."""

START_S = 300.0
"""Timeout of a new worker's first message, while it imports modules and builds its state."""

ABANDON_S = 10.0
"""Timeout of a worker that was asked to drop its job."""

ABANDON = "abandon"
"""Message in place of a job: drop the current one."""

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
JobIn = TypeVar("JobIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)
Report = Callable[[int], None]
"""Reports a number of finished steps to the parent."""


class Work(Protocol[JobIn, ResultOut]):
    """Callable that runs jobs; made once per worker, so that it can keep simulators and networks."""

    def __call__(self, job: JobIn, report: Report) -> ResultOut:
        """Runs one job."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: Any = None
    attempts: int = 0
    heard_s: float = 0.0
    made: bool = False


class WorkerPool(Generic[JobT, ResultT]):
    """Pool of `workers` processes; as a context manager it ends them.

    Args:
        make: makes the work in the worker; picklable (a function or a partial).
        workers: number of processes.
        progress: called with a number of steps whenever a worker reports them.
        stall_s: a worker that has started and sends nothing for so long counts as hung.
    """

    def __init__(
        self,
        make: Callable[[], Work[JobT, ResultT]],
        workers: int,
        progress: Report = lambda steps: None,
        stall_s: float = 300.0,
    ) -> None:
        self._make, self._progress, self._stall_s = make, progress, stall_s
        self.replaced = 0
        self._workers = [self._start() for _ in range(workers)]

    def __enter__(self) -> WorkerPool[JobT, ResultT]:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            self._end(worker)

    def run(
        self,
        jobs: Iterable[JobT],
        keep_on: Callable[[], bool] = lambda: True,
        give_up: Callable[[], bool] = lambda: False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[JobT, ResultT]]:
        """Yields each job with its result as it finishes; starts no further job once `keep_on()` is False.

        Once `enough()` is True, unfinished jobs are dropped. Once `give_up()` is True it returns within a second, also
        with jobs still running; the pool can only be closed then.

        Raises:
            WorkersLost: a job failed, or killed its worker `ATTEMPTS` times.
        """
        waiting = deque(jobs)
        while not give_up():
            if enough():
                yield from self._abandon()
                return
            for worker in self._workers:
                if worker.job is None and waiting and keep_on():
                    self._give(worker, waiting.popleft(), 1)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                if worker.pipe in ready:
                    yield from self._receive(worker)
                elif time.monotonic() - worker.heard_s > (self._stall_s if worker.made else START_S):
                    self._replace(worker, "hung")

    def _abandon(self) -> Iterator[tuple[JobT, ResultT]]:
        """Drops every job and yields those that have just finished; replaces a worker that does not answer."""
        for worker in self._workers:
            if worker.job is not None:
                yield from self._dropped(worker)

    def _dropped(self, worker: _Worker) -> Iterator[tuple[JobT, ResultT]]:
        until = time.monotonic() + ABANDON_S
        with suppress(EOFError, OSError):
            worker.pipe.send(ABANDON)
            while worker.pipe.poll(max(0.0, until - time.monotonic())):
                kind, value = worker.pipe.recv()
                if kind == "abandoned":
                    worker.job = None
                    return
                if kind == "done":
                    yield worker.job, value
        self._renew(worker)
        worker.job = None

    def _receive(self, worker: _Worker) -> Iterator[tuple[JobT, ResultT]]:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker, "died")
            return
        worker.heard_s, worker.made = time.monotonic(), True
        if kind == "steps":
            self._progress(value)
        elif kind == "failed":
            raise WorkersLost(f"job {worker.job}: {value}")
        elif kind == "done":
            job, worker.job = worker.job, None
            yield job, value

    def _replace(self, worker: _Worker, why: str) -> None:
        if worker.attempts >= ATTEMPTS:
            raise WorkersLost(
                f"job {worker.job}: its worker {why} {worker.attempts} times, expected at most {ATTEMPTS - 1}"
            )
        self._renew(worker)
        self._give(worker, worker.job, worker.attempts + 1)

    def _renew(self, worker: _Worker) -> None:
        self._end(worker)
        self.replaced += 1
        fresh = self._start()
        worker.process, worker.pipe, worker.made = fresh.process, fresh.pipe, False

    def _give(self, worker: _Worker, job: JobT, attempts: int) -> None:
        worker.job, worker.attempts, worker.heard_s = job, attempts, time.monotonic()
        try:
            worker.pipe.send(job)
        except (BrokenPipeError, OSError):
            return  # noticed as death when its answer is awaited

    def _start(self) -> _Worker:
        return _Worker(*start_child(_serve, self._make))

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


class _Abandoned(Exception):
    """The current job is to be dropped."""


def _serve(pipe: Connection, make: Callable[[], Work[Any, Any]]) -> None:
    """Runs the worker's loop until the pipe closes, as it does when the parent dies."""
    try:
        work = make()
        pipe.send(("made", None))
        while True:
            job = pipe.recv()
            try:
                pipe.send(("abandoned", None) if job == ABANDON else ("done", work(job, partial(_report, pipe))))
            except _Abandoned:
                pipe.send(("abandoned", None))
            except (EOFError, BrokenPipeError):
                return
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                pipe.send(("failed", f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _report(pipe: Connection, steps: int) -> None:
    pipe.send(("steps", steps))
    if pipe.poll():
        pipe.recv()  # ABANDON: the parent sends nothing else during a job
        raise _Abandoned
