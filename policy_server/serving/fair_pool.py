"""A thread pool for many clients, in which none can delay another of its priority by more than one job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
HALVED_EVERY_S = 5.0  # half-life of past work


@dataclass
class Account:
    """Recent processing time of one client [s], and whether it goes before others."""

    spent_s: float = 0.0
    at_s: float = 0.0
    priority: int = 0
    """Jobs of a larger one come first, however much was spent."""

    def balance(self, now_s: float) -> float:
        """Returns the recent processing time, with exponential decay [s]."""
        return float(self.spent_s * 0.5 ** ((now_s - self.at_s) / HALVED_EVERY_S))

    def charge(self, seconds: float, now_s: float) -> None:
        """Adds the duration of a job that has just ended."""
        self.spent_s, self.at_s = self.balance(now_s) + seconds, now_s


@dataclass(frozen=True)
class _Job:
    account: Account
    work: Callable[[], Any]
    future: Future[Any]


class FairPool:
    """`size` threads; of the clients of the largest priority that of the least recent processing time is next."""

    def __init__(self, size: int, name: str) -> None:
        self._waiting: list[_Job] = []
        self._changed = threading.Condition()
        self._open = True
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, account: Account, work: Callable[[], T]) -> Future[T]:
        """Returns a future for `work`; RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("the pool is shut down")
            self._waiting.append(_Job(account, work, future))
            self._changed.notify()
        return future

    def shutdown(self) -> None:
        """Accepts no more jobs; returns when the waiting ones are done."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.future.set_running_or_notify_cancel():
                _do(job)
            del job  # frees its images while this thread waits for the next job

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._waiting:
                if not self._open:
                    return None
                self._changed.wait()
            now_s = time.monotonic()
            job = min(self._waiting, key=lambda waiting: (-waiting.account.priority, waiting.account.balance(now_s)))
            self._waiting.remove(job)
            return job


def _do(job: _Job) -> None:
    started_s = time.monotonic()
    try:
        result = job.work()
    except BaseException as error:  # whoever waits for the future raises it
        publish = partial(job.future.set_exception, error)
    else:
        publish = partial(job.future.set_result, result)
    now_s = time.monotonic()
    job.account.charge(now_s - started_s, now_s)
    publish()
