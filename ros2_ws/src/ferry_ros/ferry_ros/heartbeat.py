"""Tells, while it lasts, that a process is alive: true ten times a second, false once at the end."""

from __future__ import annotations

import threading
from types import TracebackType

from rclpy.publisher import Publisher
from std_msgs.msg import Bool

PERIOD_S = 0.1


class Heartbeat:
    """Context manager; beats in a thread of its own, which no callback can delay."""

    def __init__(self, publisher: Publisher, period_s: float = PERIOD_S) -> None:
        self._publisher, self._period_s = publisher, period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._publisher.publish(Bool(data=False))

    def _beat(self) -> None:
        while not self._ended.is_set():
            self._publisher.publish(Bool(data=True))
            self._ended.wait(self._period_s)
