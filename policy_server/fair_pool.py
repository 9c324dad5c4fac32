"""Threads that work for many clients, none of which can keep another waiting for longer than one piece of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
HALVED_EVERY_S = 5.0  # how soon past work is forgotten


@dataclass
class Account:
    """How much time was lately spent for one client [s]."""

    spent_s: float = 0.0
    at_s: float = 0.0

    def balance(self, now_s: float) -> float:
        """What was spent, less what is forgotten by now [s]."""
        return float(self.spent_s * 0.5 ** ((now_s - self.at_s) / HALVED_EVERY_S))

    def charge(self, seconds: float, now_s: float) -> None:
        """Adds work that has ended now."""
        self.spent_s, self.at_s = self.balance(now_s) + seconds, now_s


@dataclass(frozen=True)
class _Job:
    account: Account
    work: Callable[[], Any]
    future: Future[Any]


class FairPool:
    """`size` threads; whose account is lowest is served next."""

    def __init__(self, size: int, name: str) -> None:
        self._waiting: list[_Job] = []
        self._changed = threading.Condition()
        self._open = True
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, account: Account, work: Callable[[], T]) -> Future[T]:
        """The future result of `work`; RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("the pool is shut down")
            self._waiting.append(_Job(account, work, future))
            self._changed.notify()
        return future

    def shutdown(self) -> None:
        """Takes no more work; returns once what waits is done."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.future.set_running_or_notify_cancel():
                _do(job)
            del job  # its images, while this thread waits for the next

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._waiting:
                if not self._open:
                    return None
                self._changed.wait()
            now_s = time.monotonic()
            job = min(self._waiting, key=lambda one: one.account.balance(now_s))
            self._waiting.remove(job)
            return job


def _do(job: _Job) -> None:
    started_s = time.monotonic()
    try:
        result = job.work()
    except BaseException as error:  # whoever waits for the future raises it
        tell = partial(job.future.set_exception, error)
    else:
        tell = partial(job.future.set_result, result)
    now_s = time.monotonic()
    job.account.charge(now_s - started_s, now_s)
    tell()
