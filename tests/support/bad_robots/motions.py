"""Carts that are too fast, or move other joints or rows than commanded."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from bad_robots.cart import CART, OPTIONS, Cart
from robots.command import Chunk, Command, MoveJoint, SetGripper
from robots.embodiment import Embodiment
from robots.fakes.kinematic import FakeOptions
from robots.limits import limit
from robots.robot import Sent


class Speeds(Cart):
    """Moves twice as fast as its spec allows."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(options)
        self._told, self._spec = self._spec, self._faster()

    def _faster(self) -> Embodiment:
        joints = {name: replace(one, max_speed=2 * one.max_speed) for name, one in self._spec.joints.items()}
        assert self._spec.base is not None
        base = replace(self._spec.base, max_speed_mps=0.6, max_turn_radps=2.0)
        return replace(self._spec, joints=joints, base=base)

    @property
    def spec(self) -> Embodiment:
        return self._told


class IgnoresItsOptions(Cart):
    """Moves at full speed whatever its options say."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(replace(options, speed=1.0))


class SlowOnPaper(Cart):
    """Tells lower speeds when it is slowed, and moves with its full ones."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(replace(options, speed=1.0))
        self._told = CART.slowed(options.speed)

    @property
    def spec(self) -> Embodiment:
        return self._told


class DragsTheWrist(Cart):
    """Its lift turns the wrist along."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, MoveJoint) and command.joint == "lift" and not sent.refused:
            self.positions["wrist"] += command.delta
        return sent


class DropsRows(Cart):
    """Goes to the last row of a chunk at once, and waits there for its time to pass."""

    def execute(self, command: Command) -> Sent:
        if not isinstance(command, Chunk) or len(command.rows) < 3 or limit(command, self.spec, self.positions).refused:
            return super().execute(command)
        began_s, lasts_s = time.monotonic(), len(command.rows) * command.period_s
        sent = super().execute(Chunk(command.names, command.rows[-1:], 0.3))
        stopped = self._stop.wait(lasts_s - (time.monotonic() - began_s))
        return replace(sent, command=command, blocked="stopped" if stopped else sent.blocked)


class PullsOpen(Cart):
    """Takes the gripper's aperture for a share."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, SetGripper) and math.isfinite(command.aperture_m):
            return replace(super().execute(SetGripper(0.1)), command=command)
        return super().execute(command)
