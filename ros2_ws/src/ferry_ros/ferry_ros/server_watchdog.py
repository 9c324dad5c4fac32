"""Asks the policy server whether it lives, also while the body moves and no decision is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from policy_server.client import PolicyClient

PERIOD_S = 0.1


class ServerWatch:
    """Context manager.

    Args:
        client: of the server.
        timeout_s: without an answer for so long the server counts as lost.
        on_lost: told once, with the reason; from the watch's own thread.
    """

    def __init__(self, client: PolicyClient, timeout_s: float, on_lost: Callable[[str], object]) -> None:
        self._client, self._timeout_s, self._on_lost = client, timeout_s, on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="server watch", daemon=True)

    def __enter__(self) -> ServerWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(1.0)

    def _watch(self) -> None:
        heard_s = time.monotonic()
        while not self._ended.wait(PERIOD_S):
            try:
                self._client.ping(self._timeout_s)
            except Exception as error:  # whatever it is, nobody has heard the server
                if time.monotonic() - heard_s >= self._timeout_s and not self._ended.is_set():
                    self._on_lost(f"{type(error).__name__}: {error}")
                    return
            else:
                heard_s = time.monotonic()
