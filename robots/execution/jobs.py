"""Work that other threads ask the body's thread to do."""

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
    """A queue of calls with answers. Not thread-safe: its executor holds a lock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def ask(self, job: Callable[[], T]) -> Future[T]:
        """The future answer of `job`."""
        answer: Future[T] = Future()
        self._waiting.append((answer, job))
        return answer

    def take(self) -> Callable[[], None]:
        """The next job; calling it fulfils its future."""
        return partial(_fulfil, *self._waiting.popleft())

    def drop(self) -> None:
        """Answers every job that waits with a RobotError."""
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if answer.set_running_or_notify_cancel():
                answer.set_exception(RobotError("closed: the executor is closed"))


def _fulfil(answer: Future[T], job: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(job())
    except BaseException as error:  # whatever it is belongs to whoever waits for the answer
        answer.set_exception(error)


def answer_of(answer: Future[T], timeout_s: float, who: str) -> T:
    """What the job returned, or raises what it raised; RobotError, and it never begins, when that is not in time."""
    try:
        return answer.result(timeout_s)
    except NoAnswer:
        answer.cancel()
        raise RobotError(f"{who}: got no answer within {timeout_s} s, expected one") from None
