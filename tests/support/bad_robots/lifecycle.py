"""Carts whose health, connection or end is wrong."""

from __future__ import annotations

import time

from bad_robots.cart import Cart
from robots.command import Command
from robots.errors import NotConnected
from robots.observation import Observation
from robots.robot import Health, Sent


class AnswersLate(Cart):
    """Asks its body before it tells of its health."""

    def health(self) -> Health:
        time.sleep(0.08)
        return Health()


class IsUnwell(Cart):
    """Has a fault and moves all the same."""

    def health(self) -> Health:
        return Health(fault="bus-off: no frame for 2 s")


class ConnectsOnce(Cart):
    """Its connection is used up by a disconnection."""

    used = False

    def disconnect(self) -> None:
        self.used = True
        super().disconnect()

    def observe(self) -> Observation:
        if self.used and self._connected:
            raise OSError("bad file descriptor")
        return super().observe()


class WorksUnconnected(Cart):
    """Executes before it is connected."""

    def execute(self, command: Command) -> Sent:
        return super().execute(command) if self._connected else Sent(command)


class LeavesWithoutStop(Cart):
    """Only disconnects when a context ends."""

    def __exit__(self, *_error: object) -> None:
        self.disconnect()


class FailsToStopUnconnected(Cart):
    """Needs a connection to stop."""

    def stop(self) -> None:
        if not self._connected:
            raise NotConnected("cart", "stop")
        super().stop()
