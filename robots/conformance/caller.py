"""Calls a robot in one thread of its own, each call with a time limit."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, TypeVar

from robots.conformance.verdict import Failed

T = TypeVar("T")
POLL_S = 0.005
"""Polling period of a call in progress."""
END_S = 1.0
"""Time limit for an idle thread to end, with its resources (a renderer)."""
IDLE_S = 0.05
"""The same when nothing is done meanwhile."""


def nothing(_elapsed_s: float) -> None:
    """Does nothing meanwhile."""


class Caller:
    """Thread for one robot: a renderer's or a driver's handles may belong to the thread that made them."""

    def __init__(self) -> None:
        self._late: tuple[str, Future[Any]] | None = None
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="conformance", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> str:
        """The call that was given up and has not returned until now; empty while the thread answers."""
        return "" if self._late is None or self._late[1].done() else self._late[0]

    def call(self, what: str, job: Callable[[], T], limit_s: float, during: Callable[[float], None] = nothing) -> T:
        """Returns or raises as `job` does; Failed when it takes longer than `limit_s`.

        Meanwhile `during(seconds since the call)` is called again and again in the caller's thread.
        """
        if self.lost:
            raise Failed(what, f"a body that hangs in {self.lost}", "one that answers")
        answer: Future[T] = Future()
        self._jobs.put((answer, job))
        began = time.monotonic()
        while not answer.done():
            elapsed = time.monotonic() - began
            if elapsed > limit_s:
                self._late = what, answer
                raise Failed(what, f"no return within {limit_s:g} s", "a return")
            during(elapsed)
            _wait(answer, IDLE_S if during is nothing else POLL_S)
        return answer.result()

    def close(self) -> None:
        """Ends the thread; one that hangs is left behind."""
        self._jobs.put(None)
        if not self.lost:
            self._thread.join(END_S)

    def _run(self) -> None:
        while (task := self._jobs.get()) is not None:
            answer, job = task
            try:
                answer.set_result(job())
            except BaseException as error:  # of any kind: re-raised where the result is awaited
                answer.set_exception(error)


def _wait(answer: Future[T], seconds: float) -> None:
    with contextlib.suppress(NoAnswer):
        answer.exception(seconds)
