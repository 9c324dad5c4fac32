"""Pings the policy server in the background, also while the robot moves and no decision is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from policy_server.policy import Policy

PERIOD_S = 0.1


class ServerWatchdog:
    """Watches the policy server while the context is entered.

    Args:
        policy: behind the server.
        timeout_s: the server counts as lost after so long without a reply.
        on_lost: called once, with the reason, from the watchdog's thread.
    """

    def __init__(self, policy: Policy, timeout_s: float, on_lost: Callable[[str], object]) -> None:
        self._policy, self._timeout_s, self._on_lost = policy, timeout_s, on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="server watchdog", daemon=True)

    def __enter__(self) -> ServerWatchdog:
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
                self._policy.ping(self._timeout_s)
            except Exception as error:  # whatever it is, there was no reply
                if time.monotonic() - heard_s >= self._timeout_s and not self._ended.is_set():
                    self._on_lost(f"{type(error).__name__}: {error}")
                    return
            else:
                heard_s = time.monotonic()
