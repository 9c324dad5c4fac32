"""Callbacks of an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any], None]
StopListener = Callable[[str, str], None]


def ignore(*_: object) -> None:
    """Does nothing."""


def guarded(listener: StopListener) -> StopListener:
    """Wraps `listener` so that its exceptions are logged: they must not prevent the next stop."""

    def notify(reason: str, lease: str) -> None:
        try:
            listener(reason, lease)
        except Exception:
            logging.getLogger(__name__).exception("a listener failed at the stop: %s", reason)

    return notify
