"""Carts that do not stop."""

from __future__ import annotations

import threading
from dataclasses import replace

from bad_robots.cart import Cart
from bad_robots.commands import ReturnsEarly
from robots.command import Command
from robots.robot import Sent


class IgnoresStop(Cart):
    """Goes on when it is stopped."""

    def stop(self) -> None:
        pass


class OnlySaysItStopped(ReturnsEarly):
    """Returns at the stop and goes on moving."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        self._stop.clear()
        while self.worker and self.worker.is_alive():
            if self._asked.wait(0.005):
                self._asked.clear()
                return replace(sent, blocked="stopped")
        return sent

    _asked = threading.Event()

    def stop(self) -> None:
        self._asked.set()


class HidesTheStop(Cart):
    """Stops, and says that it did what it was asked."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), blocked="")


class StopsForGood(Cart):
    """Refuses whatever comes after a stop."""

    stopped = False

    def execute(self, command: Command) -> Sent:
        return Sent(command, refused="stopped") if self.stopped else super().execute(command)

    def stop(self) -> None:
        self.stopped = True
        super().stop()

    def connect(self) -> None:
        self.stopped = False
        super().connect()
