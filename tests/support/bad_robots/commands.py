"""Carts that do other than commanded, or report so."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

from bad_robots.cart import Cart
from robots.command import Command, Done, MoveBase, MoveJoint, RotateBase
from robots.limits import limit
from robots.robot import Sent


class ClipsSilently(Cart):
    """Clips, and does not say that it did."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), clipped=())


class SaysClipped(Cart):
    """Says that it clipped what it sent as asked."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), command=command)


class ReturnsEarly(Cart):
    """Returns when the command was sent."""

    worker: threading.Thread | None = None

    def execute(self, command: Command) -> Sent:
        self.wait()
        sent = limit(command, self.spec, self.positions)
        if sent.refused or command == Done():
            return super().execute(command)
        self.worker = threading.Thread(target=super().execute, args=(command,), daemon=True)
        self.worker.start()
        return sent

    def wait(self) -> None:
        if self.worker:
            self.worker.join()

    def disconnect(self) -> None:
        self.wait()
        super().disconnect()


class OnlySaysSo(Cart):
    """Says that it moved."""

    def execute(self, command: Command) -> Sent:
        self._require("execute")
        return limit(command, self.spec, self.positions)


class MovesHalf(Cart):
    """Drives half of what it says."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveBase):
            half = super().execute(replace(command, distance_m=command.distance_m / 2))
            return replace(half, command=command)
        return super().execute(command)


class TellsAnotherCommand(Cart):
    """Turns as asked and tells of another turn."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, RotateBase) and sent.executed:
            return replace(sent, command=RotateBase(2 * command.angle_rad))
        return sent


class TurnsClockwise(Cart):
    """Counts turns clockwise."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, RotateBase):
            return replace(super().execute(RotateBase(-command.angle_rad)), command=command)
        return super().execute(command)


class ShortensLongSteps(Cart):
    """Drives its longest step, says so, and should have refused."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveBase) and abs(command.distance_m) > 0.1:
            return replace(super().execute(MoveBase(math.copysign(0.1, command.distance_m))), clipped=("distance_m",))
        return super().execute(command)


class RefusesAndMoves(Cart):
    """Says that it refuses a long step, and drives."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, MoveBase) and sent.refused:
            super().execute(MoveBase(0.1))
        return sent


class ExecutesNaN(Cart):
    """Lets NaN through."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveJoint) and math.isnan(command.delta):
            return Sent(command)
        return super().execute(command)


class RaisesBeyondLimits(Cart):
    """Raises for a target beyond the range."""

    def execute(self, command: Command) -> Sent:
        if limit(command, self.spec, self.positions).clipped:
            raise ValueError("out of range")
        return super().execute(command)
