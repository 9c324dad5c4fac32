"""Ctrl-C and its like: the loop ends after its update, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from robots.processes.signals import on_end, restore


@contextmanager
def stop_request() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether Ctrl-C, SIGTERM or SIGHUP asked the loop to stop after its update.

    A second Ctrl-C raises KeyboardInterrupt at once.
    """
    requested = False

    def request(number: int, _: object) -> None:
        nonlocal requested
        if requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested = True

    before = on_end(request)
    try:
        yield lambda: requested
    finally:
        restore(before)
