"""Queue of calls that other threads submit to the body thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from functools import partial
from typing import Any, TypeVar

from robots.errors import RobotError

T = TypeVar("T")


class Jobs:
    """Queue of calls with futures. Not thread-safe: its executor holds a lock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def ask(self, job: Callable[[], T]) -> Future[T]:
        """Queues `job`; returns its future."""
        answer: Future[T] = Future()
        self._waiting.append((answer, job))
        return answer

    def take(self) -> Callable[[], None]:
        """Removes and returns the next job; calling it fulfils its future."""
        return partial(_fulfil, *self._waiting.popleft())

    def drop(self) -> None:
        """Fails every pending job with a RobotError."""
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if answer.set_running_or_notify_cancel():
                answer.set_exception(RobotError("closed: the executor is closed"))


def _fulfil(answer: Future[T], job: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(job())
    except BaseException as error:  # of any kind: re-raised where the result is awaited
        answer.set_exception(error)


def answer_of(answer: Future[T], timeout_s: float, who: str) -> T:
    """Result of the job, or its exception; after the timeout cancels the job and raises RobotError."""
    try:
        return answer.result(timeout_s)
    except NoAnswer:
        answer.cancel()
        raise RobotError(f"{who}: no answer within {timeout_s} s") from None
