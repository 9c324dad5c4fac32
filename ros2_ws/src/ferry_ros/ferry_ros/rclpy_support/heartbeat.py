"""Heartbeat of a lease's holder: published at 10 Hz, and once when it ends."""

from __future__ import annotations

import threading

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.publisher import Publisher

from ferry_ros.messages import diagnostics

PERIOD_S = 0.1


class Heartbeat:
    """Publishes in a thread of its own, which no callback can delay, from its creation until `end`.

    Args:
        publisher: of DiagnosticStatus.
        name: of the client.
        lease: that it holds.
    """

    def __init__(self, publisher: Publisher, name: str, lease: str, period_s: float = PERIOD_S) -> None:
        self._publisher, self._period_s = publisher, period_s
        self._name, self._lease = name, lease
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Returns the lease; idempotent."""
        if not self._ended.is_set():
            self.fall_silent()
            self._publisher.publish(self._message(diagnostics.WARN, "has ended"))

    def fall_silent(self) -> None:
        """Stops the heartbeat without returning the lease, which expires."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.is_set():
            self._publisher.publish(self._message(diagnostics.OK, "drives"))
            self._ended.wait(self._period_s)

    def _message(self, level: bytes, message: str) -> DiagnosticStatus:
        return diagnostics.status(self._name, level, message, {"lease": self._lease})
