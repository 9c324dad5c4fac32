"""An asyncio event loop in a thread, for calls from code that is not asynchronous, each with a deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from policy_server.errors import Unreachable

T = TypeVar("T")
END_S = 2.0  # for what was cancelled to end


class EventLoop:
    """The loop; its thread is a daemon and ends with `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        """Returns the result of `work`; cancels it and raises Unreachable if it takes longer than `timeout_s`."""
        if not self._thread.is_alive():
            work.close()
            raise Unreachable(f"{what}: the client was closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(max(timeout_s, 1e-3))
        except (FutureTimeout, TimeoutError) as error:
            future.cancel()
            raise Unreachable(f"{what}: no complete answer within {timeout_s:g} s") from error

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs `work` without waiting for it; does nothing after `close`."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(work, self._loop)
        else:
            work.close()

    def close(self) -> None:
        """Cancels what still runs, and ends the thread."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(END_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        await _turns()  # what was asked for before runs before
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _turns()  # aborted transports close their sockets
        self._loop.stop()


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
