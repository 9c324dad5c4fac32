"""Signals that request an orderly end: Ctrl-C, `kill`, and a closed terminal or ssh session."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def endings() -> tuple[signal.Signals, ...]:
    """Signals that end this process: SIGINT, SIGTERM, and SIGHUP unless it is ignored (`nohup`)."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hangup)


def on_end(handler: Callable[[int, FrameType | None], Any]) -> dict[signal.Signals, Any]:
    """Lets `handler` take every signal that ends this process; returns the handlers before, for `restore`."""
    return {number: signal.signal(number, handler) for number in endings()}


def restore(before: dict[signal.Signals, Any]) -> None:
    """Puts back the handlers that `on_end` returned."""
    for one, handler in before.items():
        signal.signal(one, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """Turns every ending signal into a KeyboardInterrupt, so that context managers stop and close everything.

    Once, except for Ctrl-C: a terminal that closes sends more than one SIGHUP, and the second must not end the closing.
    """
    asked: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGINT or len(asked) == 1:
            raise KeyboardInterrupt

    before = on_end(interrupt)
    try:
        yield
    finally:
        restore(before)
