"""Whoever an executor tells what happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any], None]
StopListener = Callable[[str, str], None]


def ignore(*_: object) -> None:
    """Listens to nothing."""


def guarded(listener: StopListener) -> StopListener:
    """`listener`, but what it raises is logged: who cannot be told of a stop must not keep the next from happening."""

    def tell(reason: str, lease: str) -> None:
        try:
            listener(reason, lease)
        except Exception:
            logging.getLogger(__name__).exception("a listener failed at the stop: %s", reason)

    return tell
