"""Pool of long-lived worker processes; one that dies or hangs is replaced and its job run again, or reported.

Each worker keeps what is costly to make (a simulator, a network) from job to job. It dies with this process, hears no
Ctrl-C of its own, and counts as hung when it has sent nothing for `stall_s`, however long its job takes.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from robots.processes.child import bounded, start_child
from simulation.errors import JobFailed, WorkersLost

ATTEMPTS = 3
"""Attempts at one job before the run fails."""

START_S = 300.0
"""Timeout of a new worker's first message, while it imports modules and builds its state."""

ABANDON_S = 10.0
"""Timeout of a worker that was asked to drop its job."""

END_S = 10.0
"""Time for the kernel to end a killed process."""

ABANDON = "abandon"
"""Message in place of a job: drop the current one."""

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
JobIn = TypeVar("JobIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)
Report = Callable[[int], None]
"""Reports a number of finished steps to the parent; 0 is a heartbeat."""


class JobPool(Protocol[JobT, ResultOut]):
    """What `WorkerPool` and `RayPool` are for whoever has jobs; both are context managers."""

    def run(
        self,
        jobs: Iterable[JobT],
        keep_on: Callable[[], bool] = ...,
        give_up: Callable[[], bool] = ...,
        enough: Callable[[], bool] = ...,
    ) -> Iterator[tuple[JobT, ResultOut]]:
        """See `WorkerPool.run`."""


class Work(Protocol[JobIn, ResultOut]):
    """Callable that runs jobs; made once per worker, so that it can keep simulators and networks."""

    def __call__(self, job: JobIn, report: Report) -> ResultOut:
        """Runs one job."""


@dataclass
class Task(Generic[JobT]):
    """A job and how many workers have been lost over it."""

    job: JobT
    losses: int = 0


@dataclass
class _Worker(Generic[JobT]):
    """A process and its work: the first task is running, or runs as soon as the worker is `ready`."""

    process: SpawnProcess
    pipe: Connection
    heard_s: float
    ready: bool = False
    tasks: deque[Task[JobT]] = field(default_factory=deque)


class WorkerPool(Generic[JobT, ResultT]):
    """Pool of up to `workers` processes, started when there are jobs; as a context manager it ends them.

    Args:
        make: makes the work in the worker; picklable (a function or a partial).
        workers: largest number of processes.
        progress: called with a number of steps whenever a worker reports them.
        stall_s: a worker that has started and sends nothing for so long counts as hung.
        attempts: at a job whose worker dies or hangs.
        lost: makes the result of a job after that many, from the job and what became of its worker; else WorkersLost.

    Attributes:
        replaced: number of workers that died or hung.
    """

    def __init__(
        self,
        make: Callable[[], Work[JobT, ResultT]],
        workers: int,
        progress: Report = lambda steps: None,
        stall_s: float = 300.0,
        *,
        attempts: int = ATTEMPTS,
        lost: Callable[[JobT, str], ResultT] | None = None,
    ) -> None:
        self._make, self._count, self._progress = make, workers, progress
        self._stall_s, self._attempts, self._lost = stall_s, attempts, lost
        self._workers: list[_Worker[JobT]] = []
        self._waiting: deque[deque[Task[JobT]]] = deque()
        self.replaced = 0

    def __enter__(self) -> WorkerPool[JobT, ResultT]:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            _end(worker)
        self._workers.clear()

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
            JobFailed: a job raised an exception, or the work could not be made.
            WorkersLost: a job lost its worker in every attempt.
        """
        return self.run_groups([[job] for job in jobs], keep_on, give_up, enough)

    def run_groups(
        self,
        groups: Iterable[Sequence[JobT]],
        keep_on: Callable[[], bool] = lambda: True,
        give_up: Callable[[], bool] = lambda: False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[JobT, ResultT]]:
        """As `run`; the jobs of a group run one after the other in the same worker, which keeps what they share."""
        self._waiting = deque(deque(map(Task, group)) for group in groups if group)
        while not give_up():
            if enough():
                yield from self._abandon()
                return
            self._assign(keep_on)
            busy = [worker for worker in self._workers if worker.tasks]
            if not busy:
                return
            heard = wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                if worker.pipe in heard:
                    yield from self._receive(worker)
                elif (silent_s := time.monotonic() - worker.heard_s) > (self._stall_s if worker.ready else START_S):
                    yield from self._replace(worker, f"sent nothing for {silent_s:.0f} s")

    def _assign(self, keep_on: Callable[[], bool]) -> None:
        """Gives groups to idle workers, and to new ones; a job that lost its worker must go on."""
        while self._waiting and (self._waiting[0][0].losses or keep_on()):
            worker = next((worker for worker in self._workers if not worker.tasks), None)
            if worker is None and len(self._workers) == self._count:
                return
            if worker is None:
                process, pipe = start_child(_serve, self._make)
                bounded(pipe, self._stall_s)
                worker = _Worker[JobT](process, pipe, time.monotonic())
                self._workers.append(worker)
            worker.tasks = self._waiting.popleft()
            self._begin(worker)

    def _begin(self, worker: _Worker[JobT]) -> None:
        """Sends a worker its next job, if it has one and is ready: before that it would not take a large one."""
        if worker.tasks and worker.ready:
            worker.heard_s = time.monotonic()
            try:
                worker.pipe.send(worker.tasks[0].job)
            except OSError:  # it died or hung between two jobs, and has none to lose
                self._remove(worker)

    def _receive(self, worker: _Worker[JobT]) -> Iterator[tuple[JobT, ResultT]]:
        try:
            kind, value = worker.pipe.recv()
        except BlockingIOError:
            yield from self._replace(worker, f"sent half a message, and nothing for {self._stall_s:.0f} s")
            return
        except (EOFError, OSError):
            worker.process.join(END_S)
            yield from self._replace(worker, f"died with exit code {worker.process.exitcode}")
            return
        worker.heard_s = time.monotonic()
        if kind == "ready":
            worker.ready = True
            self._begin(worker)
        elif kind == "steps":
            self._progress(value)
        elif kind == "failed":
            raise JobFailed(worker.tasks[0].job, *value)
        elif kind == "done":
            job = worker.tasks.popleft().job
            self._begin(worker)
            yield job, value

    def _replace(self, worker: _Worker[JobT], why: str) -> Iterator[tuple[JobT, ResultT]]:
        """Ends a worker that was lost; its jobs wait for another, unless this was the last attempt at the first."""
        task = worker.tasks[0]
        task.losses += 1
        if task.losses >= self._attempts:
            if self._lost is None:
                tried = f"its worker {why}; {task.losses} workers were lost over it"
                raise WorkersLost(f"job {task.job}: {tried}")
            worker.tasks.popleft()
        self._remove(worker)
        if task.losses >= self._attempts and self._lost is not None:
            yield task.job, self._lost(task.job, f"its process {why}")

    def _remove(self, worker: _Worker[JobT]) -> None:
        """Ends a worker and lets its jobs wait, first in the row."""
        _end(worker)
        self._workers.remove(worker)
        self.replaced += 1
        if worker.tasks:
            self._waiting.appendleft(worker.tasks)

    def _abandon(self) -> Iterator[tuple[JobT, ResultT]]:
        """Drops every job and yields those that have just finished; ends a worker that does not answer."""
        self._waiting.clear()
        for worker in [worker for worker in self._workers if worker.tasks]:
            if not worker.ready:
                worker.tasks.clear()  # its first job was not sent yet
                continue
            yield from self._drop(worker)

    def _drop(self, worker: _Worker[JobT]) -> Iterator[tuple[JobT, ResultT]]:
        until, job = time.monotonic() + ABANDON_S, worker.tasks[0].job
        worker.tasks.clear()
        with suppress(EOFError, OSError):
            worker.pipe.send(ABANDON)
            while worker.pipe.poll(max(0.0, until - time.monotonic())):
                kind, value = worker.pipe.recv()
                if kind == "abandoned":
                    return
                if kind == "done":
                    yield job, value
        self._remove(worker)


def _end(worker: _Worker[Any]) -> None:
    worker.process.kill()
    worker.process.join(END_S)
    worker.pipe.close()


class _Abandoned(Exception):
    """The current job is to be dropped."""


def _serve(pipe: Connection, make: Callable[[], Work[Any, Any]]) -> None:
    """Runs the worker's loop until the pipe closes, as it does when the parent dies."""
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        try:
            work = make()
        except Exception as error:  # reported by the parent, which has the terminal
            pipe.send(("failed", described(error)))
            return
        pipe.send(("ready", None))
        while True:
            pipe.send(_answer(pipe, work, pipe.recv()))


def _answer(pipe: Connection, work: Work[Any, Any], job: Any) -> tuple[str, Any]:
    try:
        return ("abandoned", None) if job == ABANDON else ("done", work(job, partial(_report, pipe)))
    except _Abandoned:
        return "abandoned", None
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:  # reported by the parent, which has the terminal
        return "failed", described(error)


def described(error: Exception) -> tuple[str, str]:
    """Returns an exception's type and message, and where it was raised: `JobFailed`'s reason and place."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}", f"{where.name}, line {where.lineno}"


def _report(pipe: Connection, steps: int) -> None:
    pipe.send(("steps", steps))
    if pipe.poll():
        pipe.recv()  # ABANDON: the parent sends nothing else during a job
        raise _Abandoned
